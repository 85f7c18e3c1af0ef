package doctor_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"drey.dev/drey/manifests/bundle"
	"drey.dev/drey/manifests/doctor"
)

var now = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// authority makes a CA, and a serving certificate of it.
func authority(t *testing.T, from, to time.Time, name string) (ca, leaf *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(template, parent *x509.Certificate) *x509.Certificate {
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, NotBefore: from, NotAfter: to, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	ca = sign(root, root)
	return ca, sign(&x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: from, NotAfter: to, DNSNames: []string{name}}, ca)
}

// healthy are the facts of an installation of which nothing is wrong.
func healthy(t *testing.T) doctor.Facts {
	t.Helper()
	o := bundle.Defaults()
	stages, err := bundle.Stages(o)
	if err != nil {
		t.Fatal(err)
	}
	ca, leaf := authority(t, now.AddDate(0, 0, -10), now.AddDate(1, 0, 0), "drey.drey-system.svc")
	f := doctor.Facts{
		Now: now, Version: "0.1.0", Options: o, Image: o.Image, Live: map[string]*unstructured.Unstructured{},
		Ready: 2, Desired: 2, Endpoints: 2, Leases: map[string]doctor.Lease{"drey": {Renewed: now.Add(-5 * time.Second), For: 15 * time.Second}},
		Secret: "drey-certs", Leaf: leaf, CA: []*x509.Certificate{ca},
		Namespaces: map[string]map[string]string{"flink": {"drey.dev/registered": "true"}, "web": {"drey.dev/mode": "warn"}, "drey-system": {}},
		Targets:    []doctor.Target{{"default", "flink", "flink"}, {"default", "own", "drey-system"}},
	}
	for _, stage := range stages {
		for _, object := range stage.Objects {
			live := object.DeepCopy()
			if strings.HasSuffix(live.GetKind(), "WebhookConfiguration") {
				trust(live, ca)
			}
			f.Expected = append(f.Expected, object)
			f.Live[doctor.Key(live.GetKind(), live.GetNamespace(), live.GetName())] = live
		}
	}
	return f
}

func trust(configuration *unstructured.Unstructured, ca *x509.Certificate) {
	text := base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw}))
	for _, w := range configuration.Object["webhooks"].([]any) {
		w.(map[string]any)["clientConfig"].(map[string]any)["caBundle"] = text
	}
}

// setLife gives it a certificate that everybody trusts, while it lives.
func setLife(t *testing.T, f *doctor.Facts, from, to time.Time) {
	t.Helper()
	ca, leaf := authority(t, from, to, "drey.drey-system.svc")
	f.CA, f.Leaf = []*x509.Certificate{ca}, leaf
	trust(f.Live["MutatingWebhookConfiguration//drey"], ca)
	trust(f.Live["ValidatingWebhookConfiguration//drey"], ca)
}

func TestAHealthyInstallation(t *testing.T) {
	for _, found := range doctor.Diagnose(healthy(t)) {
		if found.Level != doctor.OK || found.Fix != "" {
			t.Errorf("%+v", found)
		}
	}
}

// TestEachFault is found, at its level, with what mends it; and nothing else is.
func TestEachFault(t *testing.T) {
	const webhooks = "MutatingWebhookConfiguration//drey"
	first := func(f *doctor.Facts) map[string]any {
		return f.Live[webhooks].Object["webhooks"].([]any)[0].(map[string]any)
	}
	for fault, c := range map[string]struct {
		make    func(f *doctor.Facts)
		level   doctor.Level
		check   string
		message string
		fix     string
	}{
		"it is not installed":  {func(f *doctor.Facts) { f.Image = "" }, doctor.Fail, "server", "not in namespace drey-system", "drey install -n drey-system"},
		"a policy is gone":     {func(f *doctor.Facts) { delete(f.Live, "ValidatingAdmissionPolicy//drey-gate") }, doctor.Fail, "objects", "validatingadmissionpolicy/drey-gate is not there", "drey install -n drey-system --image " + bundle.Image},
		"a budget is gone":     {func(f *doctor.Facts) { delete(f.Live, "PodDisruptionBudget/drey-system/drey") }, doctor.Warn, "objects", "poddisruptionbudget/drey", "helm upgrade"},
		"a webhook fails open": {func(f *doctor.Facts) { first(f)["failurePolicy"] = "Fail" }, doctor.Fail, "objects", "webhooks[0].failurePolicy", "drey install"},
		"a webhook is narrowed": {func(f *doctor.Facts) {
			first(f)["objectSelector"] = map[string]any{"matchLabels": map[string]any{"never": "x"}}
		}, doctor.Fail, "objects", "webhooks[0].objectSelector", "kubectl delete mutatingwebhookconfiguration/drey, and then drey install"},
		"a policy is narrowed": {func(f *doctor.Facts) {
			f.Live["ValidatingAdmissionPolicyBinding//drey-gate"].Object["spec"].(map[string]any)["matchResources"] = map[string]any{"matchPolicy": "Equivalent", "namespaceSelector": map[string]any{"matchLabels": map[string]any{"never": "x"}}}
		}, doctor.Fail, "objects", "spec.matchResources", "kubectl delete validatingadmissionpolicybinding/drey-gate, and then drey install"},
		"a policy audits, too": {func(f *doctor.Facts) {
			f.Live["ValidatingAdmissionPolicyBinding//drey-gate"].Object["spec"].(map[string]any)["validationActions"] = []any{"Audit", "Deny"}
		}, doctor.Fail, "objects", "spec.validationActions", "kubectl delete validatingadmissionpolicybinding/drey-gate, and then drey install"},
		"the API server's defaults": {func(f *doctor.Facts) {
			first(f)["objectSelector"], first(f)["later"] = map[string]any{}, "default"
		}, doctor.OK, "", "", ""},
		"a right is taken away": {func(f *doctor.Facts) { f.Live["ClusterRole//drey"].Object["rules"] = []any{} }, doctor.Fail, "objects", "clusterrole/drey is not what this version writes, at rules", "drey install"},
		"a role may not be read": {func(f *doctor.Facts) {
			delete(f.Live, "ClusterRole//drey")
			f.Unread = map[string]error{"ClusterRole//drey": errors.New("forbidden")}
		}, doctor.Warn, "objects", "cannot be read: forbidden", "somebody"},
		"people change their own":       {func(f *doctor.Facts) { f.Live["Deployment/drey-system/drey"].Object["spec"] = map[string]any{} }, doctor.OK, "", "", ""},
		"no replica is ready":           {func(f *doctor.Facts) { f.Ready, f.Endpoints = 0, 0 }, doctor.Fail, "server", "none of 2 replicas is ready", "kubectl describe pods -n drey-system"},
		"one replica is not":            {func(f *doctor.Facts) { f.Ready, f.Endpoints = 1, 1 }, doctor.Warn, "server", "1 of 2", "kubectl logs -n drey-system"},
		"there is one replica":          {func(f *doctor.Facts) { f.Ready, f.Desired = 1, 1 }, doctor.Warn, "server", "one replica", "kubectl scale -n drey-system deployment/drey --replicas=2"},
		"the Service leads nowhere":     {func(f *doctor.Facts) { f.Endpoints = 0 }, doctor.Fail, "server", "leads to no pod", "kubectl get service drey"},
		"another version":               {func(f *doctor.Facts) { f.Version = "v0.2.0" }, doctor.Warn, "version", "this program is v0.2.0", "drey install --image"},
		"nobody has led":                {func(f *doctor.Facts) { f.Leases = nil }, doctor.Fail, "leader", "no replica leads: ", "kubectl logs"},
		"nobody leads any more":         {func(f *doctor.Facts) { f.Now = f.Now.Add(time.Hour) }, doctor.Fail, "leader", "the last did 1h0m5s ago", "kubectl logs"},
		"the Secret may not be read":    {func(f *doctor.Facts) { f.Leaf, f.CA, f.Unreadable = nil, nil, errors.New("forbidden") }, doctor.Warn, "certificate", "Secret drey-certs cannot be read: forbidden", "drey_certificate_expiry_timestamp_seconds"},
		"there is no Secret":            {func(f *doctor.Facts) { f.Leaf, f.CA = nil, nil }, doctor.Warn, "certificate", "no certificate in Secret drey-certs", "kubectl logs"},
		"the Secret is somebody else's": {func(f *doctor.Facts) { f.Leaf, f.CA, f.Foreign = nil, nil, true }, doctor.Fail, "certificate", "Secret drey-certs is not drey's", "kubectl delete secret -n drey-system drey-certs"},
		"no caBundle, no certificate": {func(f *doctor.Facts) {
			f.Leaf, f.CA, f.Unreadable = nil, nil, errors.New("forbidden")
			delete(first(f)["clientConfig"].(map[string]any), "caBundle")
		}, doctor.Warn, "certificate", "forbidden", "somebody"},
		"leases may not be read":       {func(f *doctor.Facts) { f.Leases, f.Unknown = nil, map[string]error{"leader": errors.New("forbidden")} }, doctor.Warn, "leader", "forbidden", "somebody"},
		"endpoints may not be read":    {func(f *doctor.Facts) { f.Endpoints, f.Unknown = 0, map[string]error{"server": errors.New("forbidden")} }, doctor.Warn, "server", "forbidden", "somebody"},
		"webhooks may not be read":     {func(f *doctor.Facts) { f.Unknown = map[string]error{"deadlock": errors.New("forbidden")} }, doctor.Warn, "deadlock", "forbidden", "somebody"},
		"a marked namespace is nobody": {func(f *doctor.Facts) { f.Targets = nil }, doctor.Warn, "targets", "namespace flink is marked, and has no target", "kubectl logs"},
		"a mark is missing":            {func(f *doctor.Facts) { f.Namespaces["flink"] = nil }, doctor.Fail, "targets", "namespace flink has a target and lacks the mark", "kubectl logs"},
		"a target leads nowhere":       {func(f *doctor.Facts) { delete(f.Namespaces, "flink") }, doctor.Warn, "targets", "points at namespace flink, which is not there", "kubectl create namespace flink"},
		"targets may not be read":      {func(f *doctor.Facts) { f.NoTargets = errors.New("forbidden") }, doctor.Warn, "targets", "cannot be read: forbidden", "deploymenttargets.drey.dev"},
		"a mode that is none":          {func(f *doctor.Facts) { f.Namespaces["web"]["drey.dev/mode"] = "loud" }, doctor.Warn, "modes", "namespace web has the label drey.dev/mode=loud", "kubectl label namespace web drey.dev/mode=warn --overwrite"},
		"a webhook before drey's pods": {func(f *doctor.Facts) {
			f.Others = []doctor.Webhook{{"mutatingwebhookconfiguration/mesh", "inject.example", true, true, true}}
		}, doctor.Warn, "deadlock", "inject.example of mutatingwebhookconfiguration/mesh", "NotIn, values: [drey-system]"},
		"webhooks that are harmless": {func(f *doctor.Facts) {
			f.Others = []doctor.Webhook{{"a", "open", false, true, true}, {"b", "elsewhere", true, true, false}, {"c", "services", true, false, true}}
		}, doctor.OK, "", "", ""},
		"nobody trusts": {func(f *doctor.Facts) { delete(first(f)["clientConfig"].(map[string]any), "caBundle") }, doctor.Fail, "caBundle", "the webhook label-pods.drey.dev does not trust", "kubectl rollout restart -n drey-system deployment/drey"},
		"the certificate is for another": {func(f *doctor.Facts) {
			ca, leaf := authority(t, now.AddDate(0, 0, -1), now.AddDate(1, 0, 0), "other.svc")
			f.CA, f.Leaf = []*x509.Certificate{ca}, leaf
			trust(f.Live[webhooks], ca)
			trust(f.Live["ValidatingWebhookConfiguration//drey"], ca)
		}, doctor.Fail, "certificate", "is for other.svc", "kubectl logs"},
		"it ends soon": {func(f *doctor.Facts) { setLife(t, f, now.AddDate(0, 0, -90), now.AddDate(0, 0, 10)) }, doctor.Warn, "certificate", "ends in 10 days", "kubectl logs"},
		"it has ended": {func(f *doctor.Facts) { setLife(t, f, now.AddDate(0, 0, -90), now.AddDate(0, 0, -3)) }, doctor.Fail, "certificate", "ended 3 days ago", "kubectl logs"},
	} {
		t.Run(fault, func(t *testing.T) {
			f := healthy(t)
			c.make(&f)
			hit := c.level == doctor.OK
			for _, found := range doctor.Diagnose(f) {
				switch {
				case found.Level == doctor.OK:
				case found.Level == c.level && found.Check == c.check && strings.Contains(found.Message, c.message) && strings.Contains(found.Fix, c.fix):
					hit = true
				case found.Check != c.check && found.Check != "caBundle": // which follows from the certificate
					t.Errorf("beside it: %+v", found)
				}
			}
			if !hit {
				t.Errorf("not found: %+v", doctor.Diagnose(f))
			}
		})
	}
}
