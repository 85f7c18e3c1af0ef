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
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"drey.dev/drey/manifests/bundle"
	"drey.dev/drey/manifests/doctor"
	"drey.dev/drey/manifests/readiness"
	"drey.dev/drey/webhook/config"
)

var now = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// authority returns a CA, and a serving certificate that it signed.
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

// defaults are the stages of the default installation, which are parsed once. Tests change copies.
var defaults = sync.OnceValues(func() ([]bundle.Stage, error) { return bundle.Stages(bundle.Defaults()) })

// paths are the paths of the webhooks by name, for which their CEL conditions are made.
var paths = sync.OnceValue(config.Paths)

// healthy returns the facts of an installation without faults.
func healthy(t *testing.T) doctor.Facts {
	t.Helper()
	o := bundle.Defaults()
	stages, err := defaults()
	if err != nil {
		t.Fatal(err)
	}
	ca, leaf := authority(t, now.AddDate(0, 0, -10), now.AddDate(1, 0, 0), "drey.drey-system.svc")
	f := doctor.Facts{
		Now: now, Version: "0.1.0", Options: o, Image: o.Image, Live: map[string]*unstructured.Unstructured{},
		Ready: 2, Desired: 2, Endpoints: 2, Leases: map[string]doctor.Lease{"drey": {RenewTime: now.Add(-5 * time.Second), Duration: 15 * time.Second}},
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
			if live.GetKind() == "ConfigMap" {
				f.Config = live.Object["data"].(map[string]any)[bundle.ConfigKey].(string)
			}
			f.Expected = append(f.Expected, bundle.Object{Unstructured: object.DeepCopy()})
			f.Live[doctor.Key(live.GetKind(), live.GetNamespace(), live.GetName())] = live
		}
	}
	return f
}

func trust(configuration *unstructured.Unstructured, ca *x509.Certificate) {
	text := base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw}))
	for _, w := range configuration.Object["webhooks"].([]any) {
		w := w.(map[string]any)
		client := w["clientConfig"].(map[string]any)
		client["caBundle"] = text
		client["service"].(map[string]any)["path"] = paths()[w["name"].(string)] + "/abcdefghijklmnopqrstuvwxyz"
	}
}

func service(webhook map[string]any) map[string]any {
	return webhook["clientConfig"].(map[string]any)["service"].(map[string]any)
}

// setValidity replaces the certificate, and the caBundles that trust it.
func setValidity(t *testing.T, f *doctor.Facts, from, to time.Time) {
	t.Helper()
	ca, leaf := authority(t, from, to, "drey.drey-system.svc")
	f.CA, f.Leaf = []*x509.Certificate{ca}, leaf
	trust(f.Live["MutatingWebhookConfiguration//drey"], ca)
	trust(f.Live["ValidatingWebhookConfiguration//drey"], ca)
}

// unregister removes the webhook configurations and policies.
func unregister(f *doctor.Facts) {
	for key := range f.Live {
		if strings.HasPrefix(key, "Validating") || strings.HasPrefix(key, "Mutating") {
			delete(f.Live, key)
		}
	}
}

const outsideURL = "https://10.0.0.1:9443"

// outside returns the fault that the registry is kept in the cluster and drey runs outside it, with
// options other than the default ones, and another fault, which may be nil.
func outside(fault func(*doctor.Facts)) func(*doctor.Facts) {
	return func(f *doctor.Facts) {
		objects, err := bundle.Outside{URL: outsideURL, Registry: true, PolicyOptions: config.PolicyOptions{
			Exclude: append([]string{"platform"}, config.SystemNamespaces...), Mode: config.Warn, Username: "system:serviceaccount:ops:drey", OwnNamespace: "platform",
			Contact: "#data", RegisterCommand: "drey targets create NAMESPACE",
		}}.Objects()
		if err != nil {
			panic(err)
		}
		unregister(f)
		for _, o := range objects {
			f.Live[doctor.Key(o.GetKind(), "", o.GetName())] = o.Unstructured
			all, _ := o.Object["webhooks"].([]any)
			for _, w := range all {
				client := w.(map[string]any)["clientConfig"].(map[string]any)
				client["caBundle"], client["url"] = "Y2E=", client["url"].(string)+"/abcdefghijklmnopqrstuvwxyz"
			}
		}
		f.Image, f.Outside, f.Expected, f.Targets = "", &doctor.Outside{URL: outsideURL}, nil, f.Targets[:1]
		if fault != nil {
			fault(f)
		}
		if err := f.ExpectOutside(); err != nil {
			panic(err)
		}
	}
}

// without returns the fault that an object does not exist.
func without(key string) func(*doctor.Facts) {
	return func(f *doctor.Facts) { delete(f.Live, key) }
}

// restart is the fix for the objects of a drey outside the cluster.
const restart = "restart that drey"

// setField returns the fault that a field of an object, at keys and indexes, has another value.
func setField(key string, value any, path ...any) func(*doctor.Facts) {
	return func(f *doctor.Facts) {
		var at any = f.Live[key].Object
		for _, step := range path[:len(path)-1] {
			if index, ok := step.(int); ok {
				at = at.([]any)[index]
				continue
			}
			at = at.(map[string]any)[step.(string)]
		}
		at.(map[string]any)[path[len(path)-1].(string)] = value
	}
}

func TestDiagnoseHealthy(t *testing.T) {
	for _, found := range doctor.Diagnose(healthy(t)) {
		if found.Level != doctor.OK || found.Fix != "" {
			t.Errorf("%+v", found)
		}
	}
}

// TestDiagnoseChartValues: fields that values of the chart set are no finding.
func TestDiagnoseChartValues(t *testing.T) {
	f := healthy(t)
	for _, kind := range []string{"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"} {
		for _, w := range f.Live[kind+"//drey"].Object["webhooks"].([]any) {
			w.(map[string]any)["timeoutSeconds"] = int64(30)
		}
	}
	spec := func(kind string) map[string]any {
		return f.Live[doctor.Key(kind, "drey-system", "drey")].Object["spec"].(map[string]any)
	}
	f.APIServerPorts = []int32{443, 8443}
	spec("NetworkPolicy")["egress"] = []any{map[string]any{"ports": []any{map[string]any{"port": int64(1), "endPort": int64(65535)}}}}
	spec("NetworkPolicy")["ingress"] = []any{map[string]any{"ports": []any{map[string]any{"port": "webhooks", "protocol": "TCP"}}}}
	spec("PodDisruptionBudget")["maxUnavailable"] = "50%"
	for _, found := range doctor.Diagnose(f) {
		if found.Level != doctor.OK {
			t.Errorf("%+v", found)
		}
	}
}

// TestDiagnoseFaults: each fault is found at its level, with its fix, and nothing else is.
func TestDiagnoseFaults(t *testing.T) {
	const webhooks = "MutatingWebhookConfiguration//drey"
	webhook := func(f *doctor.Facts, i int) map[string]any {
		return f.Live[webhooks].Object["webhooks"].([]any)[i].(map[string]any)
	}
	first := func(f *doctor.Facts) map[string]any { return webhook(f, 0) }
	third := func(f *doctor.Facts) map[string]any { return webhook(f, 2) } // without an objectSelector
	for fault, c := range map[string]struct {
		make    func(f *doctor.Facts)
		level   doctor.Level
		check   string
		message string
		fix     string
	}{
		"not installed":      {func(f *doctor.Facts) { f.Image, f.Live = "", nil }, doctor.Fail, "server", "not installed in namespace drey-system: no Deployment drey; nothing is denied", "drey install -n drey-system"},
		"Deployment deleted": {func(f *doctor.Facts) { f.Image = "" }, doctor.Fail, "server", "denied now: new Flink workloads in every namespace", "--admission-only, which opens all namespaces to Flink"},
		"outside, reachable": {outside(nil), doctor.OK, "", "", ""},
		"outside, unreachable": {outside(func(f *doctor.Facts) { f.Outside.Err = errors.New("refused") }),
			doctor.Warn, "server", "at https://10.0.0.1:9443, which this machine cannot reach: refused", "drey serve --install-webhooks"},
		"outside, mutating webhooks deleted":   {outside(without("MutatingWebhookConfiguration//drey")), doctor.Fail, "objects", "mutatingwebhookconfiguration/drey does not exist", restart},
		"outside, validating webhooks deleted": {outside(without("ValidatingWebhookConfiguration//drey")), doctor.Fail, "objects", "validatingwebhookconfiguration/drey does not exist", restart},
		"outside, caBundle emptied":            {outside(setField("MutatingWebhookConfiguration//drey", "", "webhooks", 0, "clientConfig", "caBundle")), doctor.Fail, "caBundle", "1 of 19 webhooks have no caBundle", restart},
		"outside, policy deleted":              {outside(without("ValidatingAdmissionPolicy//drey-gate")), doctor.Fail, "objects", "validatingadmissionpolicy/drey-gate does not exist", restart},
		"outside, CRD deleted":                 {outside(without("CustomResourceDefinition//deploymenttargets.drey.dev")), doctor.Fail, "objects", "no definition of objects of the registry: customresourcedefinition/deploymenttargets.drey.dev", "kubectl apply --server-side -k manifests/crds"},
		"outside, fails open":                  {outside(setField("ValidatingWebhookConfiguration//drey", "Ignore", "webhooks", 1, "failurePolicy")), doctor.Fail, "objects", "validatingwebhookconfiguration/drey differs from that of this version, at webhooks[1].failurePolicy", restart},
		"outside, another URL":                 {outside(setField("ValidatingWebhookConfiguration//drey", "https://10.0.0.2:9443/x", "webhooks", 0, "clientConfig", "url")), doctor.Fail, "objects", "at webhooks[0].clientConfig.url", restart},
		"outside, another user exempt": {outside(setField("ValidatingAdmissionPolicy//drey-claim", `request.userInfo.username != "mallory"`, "spec", "matchConditions", 0, "expression")),
			doctor.Fail, "objects", "validatingadmissionpolicy/drey-claim differs from that of this version, at spec.matchConditions[0].expression", restart},
		"outside, a namespace more excluded": {outside(setField("ValidatingWebhookConfiguration//drey", []any{"kube-node-lease", "kube-public", "kube-system", "platform", "sandbox"}, "webhooks", 0, "namespaceSelector", "matchExpressions", 0, "values")),
			doctor.Fail, "objects", "validatingwebhookconfiguration/drey has more than this version installs, at webhooks[0].namespaceSelector.matchExpressions[0].values", `"value":["kube-node-lease","kube-public","kube-system","platform"]`},
		"outside, gate weaker": {outside(setField("ValidatingAdmissionPolicyBinding//drey-gate-enforce", []any{"Audit"}, "spec", "validationActions")),
			doctor.Fail, "objects", "validatingadmissionpolicybinding/drey-gate-enforce differs from that of this version, at spec.validationActions[0]", restart},
		"outside, namespace not labeled": {outside(func(f *doctor.Facts) { delete(f.Namespaces["flink"], "drey.dev/registered") }),
			doctor.Fail, "targets", "namespace flink has a target and lacks the label", "the log of that drey"},
		"outside, only policies": {func(f *doctor.Facts) {
			f.Image = ""
			delete(f.Live, "MutatingWebhookConfiguration//drey")
			delete(f.Live, "ValidatingWebhookConfiguration//drey")
		}, doctor.Fail, "server", "its policies are registered without its webhooks: Flink pods in namespaces without a target are denied", "--admission-only"},
		"several objects deleted": {func(f *doctor.Facts) {
			delete(f.Live, "ValidatingAdmissionPolicy//drey-gate")
			delete(f.Live, "ClusterRole//drey")
			delete(f.Live, "ServiceAccount/drey-system/drey")
		}, doctor.Fail, "objects", "3 objects do not exist: serviceaccount/drey, clusterrole/drey, validatingadmissionpolicy/drey-gate", "drey install"},
		"webhooks not registered yet": {func(f *doctor.Facts) {
			unregister(f)
			f.Ready, f.Endpoints, f.Leaf, f.CA, f.Leases = 0, 0, nil, nil, nil
			f.Obstacles = []readiness.Obstacle{{Reason: "ImagePullBackOff", Message: "not found", Pods: []string{"drey-1"}, Fix: "push the image"}}
		}, doctor.Fail, "server", "none of 2 replicas is ready: pod drey-1: ImagePullBackOff: not found", "push the image"},
		"webhooks deleted": {unregister, doctor.Fail, "admission", "the webhooks are not registered", "drey install"},
		"rollout stuck": {func(f *doctor.Facts) {
			f.Obstacles = []readiness.Obstacle{{Reason: "CrashLoopBackOff", Message: "exit code 2", Pods: []string{"drey-3"}, Fix: "kubectl logs"}}
		}, doctor.Warn, "server", "the previous replicas serve: pod drey-3", "kubectl logs"},
		"scaled to zero": {func(f *doctor.Facts) { f.Ready, f.Desired, f.Endpoints = 0, 0, 0 }, doctor.Fail, "server", "scaled to 0", "--replicas=2"},
		"AKS admissions enforcer": {func(f *doctor.Facts) {
			for _, kind := range []string{"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"} {
				for _, w := range f.Live[kind+"//drey"].Object["webhooks"].([]any) {
					selector, _ := w.(map[string]any)["namespaceSelector"].(map[string]any)
					if selector == nil {
						selector = map[string]any{}
						w.(map[string]any)["namespaceSelector"] = selector
					}
					requirements, _ := selector["matchExpressions"].([]any)
					selector["matchExpressions"] = append(requirements,
						map[string]any{"key": "control-plane", "operator": "NotIn", "values": []any{"true"}},
						map[string]any{"key": "kubernetes.azure.com/managedby", "operator": "NotIn", "values": []any{"aks"}})
				}
			}
		}, doctor.OK, "", "", ""},
		"no ingress": {func(f *doctor.Facts) {
			delete(f.Live["NetworkPolicy/drey-system/drey"].Object["spec"].(map[string]any), "ingress")
		}, doctor.Warn, "network", "does not allow ingress to port 9443", "drey install"},
		"timeout too short": {func(f *doctor.Facts) { first(f)["timeoutSeconds"] = int64(1) }, doctor.Fail, "objects", "webhooks[0].timeoutSeconds", "drey install"},
		"policy of another version": {func(f *doctor.Facts) { f.Obsolete = []string{"validatingadmissionpolicy/drey-mark"} }, doctor.Warn, "objects",
			"validatingadmissionpolicy/drey-mark of another version", "kubectl delete validatingadmissionpolicy/drey-mark"},
		"webhook by URL": {func(f *doctor.Facts) {
			first(f)["clientConfig"] = map[string]any{"url": "https://10.0.0.1:9443/label/pods/x", "caBundle": first(f)["clientConfig"].(map[string]any)["caBundle"]}
		}, doctor.Fail, "objects", "call https://10.0.0.1:9443 instead of the Service drey", "drey uninstall -n drey-system --admission-only, which opens all namespaces to Flink"},
		"definition deleted": {func(f *doctor.Facts) {
			delete(f.Live, "CustomResourceDefinition//deploymenttargets.drey.dev")
			f.TargetsError = errors.New("not served")
		}, doctor.Fail, "objects", "customresourcedefinition/deploymenttargets.drey.dev does not exist", "drey install"},
		"API server's port not allowed": {func(f *doctor.Facts) { f.APIServerPorts = []int32{443, 8443} }, doctor.Warn, "network", "does not allow egress to port 8443", `"port":8443`},
		"managed by Helm": {func(f *doctor.Facts) {
			f.Manager = `the Helm release "drey" in namespace "drey-system"`
			delete(f.Live, "ClusterRole//drey")
		}, doctor.Fail, "objects", "clusterrole/drey does not exist", `helm upgrade of the Helm release "drey"`},
		"policy deleted, with flags of the installation": {func(f *doctor.Facts) {
			delete(f.Live, "ValidatingAdmissionPolicy//drey-gate")
			f.Options.NodeSelector, f.Options.AggregateTo = map[string]string{"pool": "infra"}, []string{"view"}
			f.Options.Tolerations = []corev1.Toleration{{Key: "dedicated", Value: "infra", Effect: corev1.TaintEffectNoSchedule}}
		}, doctor.Fail, "objects", "validatingadmissionpolicy/drey-gate does not exist", " --node-selector pool=infra --toleration dedicated=infra:NoSchedule --aggregate-to=view ("},
		"policy deleted":         {func(f *doctor.Facts) { delete(f.Live, "ValidatingAdmissionPolicy//drey-gate") }, doctor.Fail, "objects", "validatingadmissionpolicy/drey-gate does not exist", "drey install -n drey-system --image " + bundle.Image()},
		"budget deleted":         {func(f *doctor.Facts) { delete(f.Live, "PodDisruptionBudget/drey-system/drey") }, doctor.Warn, "objects", "poddisruptionbudget/drey", "kubectl apply -k"},
		"failure policy changed": {func(f *doctor.Facts) { first(f)["failurePolicy"] = "Fail" }, doctor.Fail, "objects", "webhooks[0].failurePolicy", "drey install"},
		"webhook restricted": {func(f *doctor.Facts) {
			third(f)["objectSelector"] = map[string]any{"matchLabels": map[string]any{"never": "x"}}
		}, doctor.Fail, "objects", "webhooks[2].objectSelector", `kubectl patch mutatingwebhookconfiguration/drey --type=json -p '[{"op":"remove","path":"/webhooks/2/objectSelector"}]'`},
		"binding restricted": {func(f *doctor.Facts) {
			f.Live["ValidatingAdmissionPolicyBinding//drey-gate"].Object["spec"].(map[string]any)["matchResources"] = map[string]any{"matchPolicy": "Equivalent", "namespaceSelector": map[string]any{"matchLabels": map[string]any{"never": "x"}}}
		}, doctor.Fail, "objects", "spec.matchResources", `'[{"op":"remove","path":"/spec/matchResources"}]'`},
		"validation action added": {func(f *doctor.Facts) {
			f.Live["ValidatingAdmissionPolicyBinding//drey-gate"].Object["spec"].(map[string]any)["validationActions"] = []any{"Audit", "Deny"}
		}, doctor.Fail, "objects", "spec.validationActions", `'[{"op":"replace","path":"/spec/validationActions","value":["Deny"]}]'`},
		"API server defaults": {func(f *doctor.Facts) {
			third(f)["objectSelector"], third(f)["later"] = map[string]any{}, "default"
		}, doctor.OK, "", "", ""},
		"rules removed": {func(f *doctor.Facts) { f.Live["ClusterRole//drey"].Object["rules"] = []any{} }, doctor.Fail, "objects", "clusterrole/drey differs from that of this version, at rules", "drey install"},
		"role not readable": {func(f *doctor.Facts) {
			delete(f.Live, "ClusterRole//drey")
			f.ReadErrors = map[string]error{"ClusterRole//drey": errors.New("forbidden")}
		}, doctor.Warn, "objects", "cannot read clusterrole/drey: forbidden", "as a user"},
		"Deployment customized": {func(f *doctor.Facts) { f.Live["Deployment/drey-system/drey"].Object["spec"] = map[string]any{} }, doctor.OK, "", "", ""},
		"ConfigMap customized":  {func(f *doctor.Facts) { f.Live["ConfigMap/drey-system/drey"].Object["data"] = map[string]any{} }, doctor.OK, "", "", ""},
		"ConfigMap deleted": {func(f *doctor.Facts) {
			delete(f.Live, "ConfigMap/drey-system/drey")
			f.Config = ""
		}, doctor.Fail, "objects", "configmap/drey does not exist", "drey install"},
		"unknown field": {func(f *doctor.Facts) { f.Config += "accessLog: true\n" }, doctor.Fail, "configuration", `unknown field "accessLog"`, "kubectl rollout restart -n drey-system deployment/drey"},
		"invalid field": {func(f *doctor.Facts) {
			f.Config = strings.Replace(f.Config, "format: json", "format: xml", 1)
		}, doctor.Fail, "configuration", `logging.format is "xml": use text or json`, "kubectl edit configmap drey -n drey-system"},
		"ConfigMap not readable": {func(f *doctor.Facts) {
			f.Config, f.CheckErrors = "", map[string]error{"configuration": errors.New("forbidden")}
		}, doctor.Warn, "configuration", "forbidden", "as a user"},
		"single replica not ready":  {func(f *doctor.Facts) { f.Ready, f.Desired, f.Endpoints = 0, 1, 0 }, doctor.Fail, "server", "the replica is not ready", "kubectl describe pods -n drey-system"},
		"no replica ready":          {func(f *doctor.Facts) { f.Ready, f.Endpoints = 0, 0 }, doctor.Fail, "server", "none of 2 replicas is ready", "kubectl describe pods -n drey-system"},
		"one of two replicas ready": {func(f *doctor.Facts) { f.Ready, f.Endpoints = 1, 1 }, doctor.Warn, "server", "1 of 2", "kubectl logs -n drey-system"},
		"single replica":            {func(f *doctor.Facts) { f.Ready, f.Desired = 1, 1 }, doctor.Warn, "server", "one replica", "kubectl scale -n drey-system deployment/drey --replicas=2"},
		"Service without endpoints": {func(f *doctor.Facts) { f.Endpoints = 0 }, doctor.Fail, "server", "has no endpoints", "kubectl get service drey"},
		"version differs":           {func(f *doctor.Facts) { f.Version = "v0.2.0" }, doctor.Warn, "version", "this program is v0.2.0", "drey install --image"},
		"no lease":                  {func(f *doctor.Facts) { f.Leases = nil }, doctor.Fail, "leader", "no leader: ", "kubectl logs"},
		"lease expired":             {func(f *doctor.Facts) { f.Now = f.Now.Add(time.Hour) }, doctor.Fail, "leader", "was renewed 1h0m5s ago", "kubectl logs"},
		"Secret not readable":       {func(f *doctor.Facts) { f.Leaf, f.CA, f.SecretError = nil, nil, errors.New("forbidden") }, doctor.Warn, "certificate", "cannot read Secret drey-certs: forbidden", "drey_certificate_expiry_timestamp_seconds"},
		"no Secret":                 {func(f *doctor.Facts) { f.Leaf, f.CA = nil, nil }, doctor.Warn, "certificate", "no certificate in Secret drey-certs", "kubectl logs"},
		"Secret of others":          {func(f *doctor.Facts) { f.Leaf, f.CA, f.SecretForeign = nil, nil, true }, doctor.Fail, "certificate", "Secret drey-certs lacks the label", "kubectl delete secret -n drey-system drey-certs"},
		"no caBundle, Secret not readable": {func(f *doctor.Facts) {
			f.Leaf, f.CA, f.SecretError = nil, nil, errors.New("forbidden")
			delete(first(f)["clientConfig"].(map[string]any), "caBundle")
		}, doctor.Warn, "certificate", "forbidden", "as a user"},
		"leases not readable": {func(f *doctor.Facts) {
			f.Leases, f.CheckErrors = nil, map[string]error{"leader": errors.New("forbidden")}
		}, doctor.Warn, "leader", "forbidden", "as a user"},
		"endpoints not readable": {func(f *doctor.Facts) {
			f.Endpoints, f.CheckErrors = 0, map[string]error{"server": errors.New("forbidden")}
		}, doctor.Warn, "server", "forbidden", "as a user"},
		"webhooks not readable":            {func(f *doctor.Facts) { f.CheckErrors = map[string]error{"deadlock": errors.New("forbidden")} }, doctor.Warn, "deadlock", "forbidden", "as a user"},
		"labeled namespace without target": {func(f *doctor.Facts) { f.Targets = nil }, doctor.Warn, "targets", "namespace flink is labeled, and has no target", "kubectl logs"},
		"target namespace not labeled":     {func(f *doctor.Facts) { f.Namespaces["flink"] = nil }, doctor.Fail, "targets", "namespace flink has a target and lacks the label", "kubectl logs"},
		"target namespace does not exist":  {func(f *doctor.Facts) { delete(f.Namespaces, "flink") }, doctor.Warn, "targets", "points at namespace flink, which does not exist", "kubectl create namespace flink"},
		"targets not readable":             {func(f *doctor.Facts) { f.TargetsError = errors.New("forbidden") }, doctor.Warn, "targets", "cannot read targets: forbidden", "deploymenttargets.drey.dev"},
		"invalid mode":                     {func(f *doctor.Facts) { f.Namespaces["web"]["drey.dev/mode"] = "loud" }, doctor.Warn, "modes", "namespace web has an invalid mode in the label drey.dev/mode=loud", "kubectl label namespace web drey.dev/mode=warn --overwrite"},
		"webhook of others matches drey's pods": {func(f *doctor.Facts) {
			f.Webhooks = []doctor.Webhook{{"mutatingwebhookconfiguration/mesh", "inject.example", true, true, true}}
		}, doctor.Warn, "deadlock", "inject.example of mutatingwebhookconfiguration/mesh", "NotIn, values: [drey-system]"},
		"webhooks of others do not match": {func(f *doctor.Facts) {
			f.Webhooks = []doctor.Webhook{{"a", "open", false, true, true}, {"b", "elsewhere", true, true, false}, {"c", "services", true, false, true}}
		}, doctor.OK, "", "", ""},
		"no caBundle": {func(f *doctor.Facts) { delete(first(f)["clientConfig"].(map[string]any), "caBundle") }, doctor.Fail, "caBundle", "the webhook label-pods.drey.dev does not trust", "kubectl rollout restart -n drey-system deployment/drey"},
		"no path":     {func(f *doctor.Facts) { delete(service(first(f)), "path") }, doctor.Fail, "path", "the webhook label-pods.drey.dev has no path with a token", "remove the path from manifests"},
		"no token":    {func(f *doctor.Facts) { service(first(f))["path"] = "/label/pods" }, doctor.Fail, "path", "the path of the webhook label-pods.drey.dev has no token", "kubectl rollout restart -n drey-system deployment/drey"},
		"certificate for another name": {func(f *doctor.Facts) {
			ca, leaf := authority(t, now.AddDate(0, 0, -1), now.AddDate(1, 0, 0), "other.svc")
			f.CA, f.Leaf = []*x509.Certificate{ca}, leaf
			trust(f.Live[webhooks], ca)
			trust(f.Live["ValidatingWebhookConfiguration//drey"], ca)
		}, doctor.Fail, "certificate", "is valid for other.svc", "kubectl logs"},
		"certificate expires soon": {func(f *doctor.Facts) { setValidity(t, f, now.AddDate(0, 0, -90), now.AddDate(0, 0, 10)) }, doctor.Warn, "certificate", "expires in 10 days", "kubectl logs"},
		"certificate expired":      {func(f *doctor.Facts) { setValidity(t, f, now.AddDate(0, 0, -90), now.AddDate(0, 0, -3)) }, doctor.Fail, "certificate", "expired 3 days ago", "kubectl logs"},
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
				case found.Check != c.check && found.Check != "caBundle" && found.Check != "admission": // which follow from the others
					t.Errorf("unexpected finding: %+v", found)
				}
			}
			if !hit {
				t.Errorf("not found: %+v", doctor.Diagnose(f))
			}
		})
	}
}
