package doctor

import (
	"cmp"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"drey.dev/drey/certs"
	"drey.dev/drey/manifests/bundle"
	"drey.dev/drey/webhook/config"
)

// again is the command that brings an installation to what it should be.
func (d *diagnosis) again() string {
	o := d.Options
	command := fmt.Sprintf("drey install -n %s --image %s --certs %s --store %s --mode %s --replicas %d", o.Namespace, d.Image, o.Certs, o.Store, o.Mode, o.Replicas)
	if o.RESTURL != "" {
		command += " --rest-url " + o.RESTURL
	}
	return command + " (or helm upgrade, or kubectl apply -k, as it was installed)"
}

// mayDiffer are the kinds whose objects people make their own.
var mayDiffer = []string{"Deployment", "ServiceAccount", "PersistentVolumeClaim", "Namespace"}

// gates are the kinds by which the API server asks drey, or decides by itself: what is
// there beyond what drey writes may narrow them, so that they hold nothing any more.
var gates = []string{"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}

// mayLack are those without which drey does its work.
var mayLack = []string{"PodDisruptionBudget", "NetworkPolicy"}

func (d *diagnosis) objects() {
	const check = "objects"
	for _, want := range d.Expected {
		key := Key(want.GetKind(), want.GetNamespace(), want.GetName())
		if err := d.Unread[key]; err != nil {
			d.add(check, Warn, fmt.Sprintf("%s cannot be read: %v", want, err), "have somebody run drey doctor who may read it")
			continue
		}
		live := d.Live[key]
		switch {
		case live == nil && slices.Contains(mayLack, want.GetKind()):
			d.add(check, Warn, fmt.Sprintf("%s is not there", want), d.again())
		case live == nil:
			d.add(check, Fail, fmt.Sprintf("%s is not there", want), d.again())
		case !slices.Contains(mayDiffer, want.GetKind()):
			if at, added := difference(want.Unstructured, live); at != "" {
				level, fix := Fail, d.again()
				if slices.Contains(mayLack, want.GetKind()) {
					level = Warn
				}
				if added && slices.Contains(gates, want.GetKind()) { // applying takes away nothing of what others stated
					fix = fmt.Sprintf("kubectl delete %s, and then %s", want, fix)
				}
				d.add(check, level, fmt.Sprintf("%s is not what this version writes, at %s", want, at), fix)
			}
		}
	}
	d.ok(check, fmt.Sprintf("all %d are there, and as this version writes them", len(d.Expected)))
}

// difference is the path of the first field that is another than is wanted, and whether
// it is there beyond what is wanted. That is others' own, except in gates. The caBundle
// is looked at by itself.
func difference(want, live *unstructured.Unstructured) (at string, added bool) {
	c := comparison{exact: slices.Contains(gates, want.GetKind())}
	for _, field := range slices.Sorted(maps.Keys(want.Object)) {
		switch field {
		case "apiVersion", "kind", "metadata", "status":
			continue
		}
		if at := c.differs(want.Object[field], live.Object[field], field); at != "" {
			return at, c.added
		}
	}
	return "", false
}

type comparison struct {
	exact bool // what is there beyond what is wanted differs, too
	added bool // what differs is there beyond what is wanted
}

func (c *comparison) differs(want, live any, path string) string {
	switch w := want.(type) {
	case map[string]any:
		l, _ := live.(map[string]any)
		for _, key := range slices.Sorted(maps.Keys(w)) {
			if key == "caBundle" {
				continue
			}
			if at := c.differs(w[key], l[key], path+"."+key); at != "" {
				return at
			}
		}
		for _, key := range slices.Sorted(maps.Keys(l)) {
			if _, wanted := w[key]; !wanted && c.exact && narrows(l[key]) {
				c.added = true
				return path + "." + key
			}
		}
		return ""
	case []any:
		l, _ := live.([]any)
		if len(w) != len(l) {
			c.added = len(l) > len(w)
			return path
		}
		for i := range w {
			if at := c.differs(w[i], l[i], fmt.Sprintf("%s[%d]", path, i)); at != "" {
				return at
			}
		}
		return ""
	}
	if fmt.Sprint(want) != fmt.Sprint(live) && (live != nil || want != "" && want != false && want != nil) {
		return path
	}
	return ""
}

// narrows tells whether a field that nobody wants is more than a default of the API
// server's: selectors, conditions and what is excluded are objects or lists, with
// something in them.
func narrows(live any) bool {
	switch l := live.(type) {
	case map[string]any:
		return len(l) > 0
	case []any:
		return len(l) > 0
	}
	return false
}

func (d *diagnosis) server() {
	const check = "server"
	describe := fmt.Sprintf("kubectl describe pods -n %s -l app.kubernetes.io/name=%s, and kubectl logs -n %s deployment/%s", d.Options.Namespace, bundle.Name, d.Options.Namespace, bundle.Name)
	switch {
	case d.Ready == 0:
		d.add(check, Fail, fmt.Sprintf("none of %d replicas is ready: Flink's Deployments are refused, and its pods come without labels", d.Desired), describe)
	case d.Ready < d.Desired:
		d.add(check, Warn, fmt.Sprintf("%d of %d replicas are ready", d.Ready, d.Desired), describe)
	case d.Desired == 1 && d.Options.Store != bundle.Embedded:
		d.add(check, Warn, "there is one replica: while its node is drained, Flink's Deployments are refused", fmt.Sprintf("kubectl scale -n %s deployment/%s --replicas=2", d.Options.Namespace, bundle.Name))
	}
	if d.Ready > 0 && d.Endpoints == 0 && !d.unknown(check) {
		d.add(check, Fail, fmt.Sprintf("the Service %s leads to no pod, though some are ready: its selector is not theirs", bundle.Name),
			fmt.Sprintf("kubectl get service %s -n %s -o yaml, beside kubectl get pods -n %s --show-labels; or %s", bundle.Name, d.Options.Namespace, d.Options.Namespace, d.again()))
	}
	d.ok(check, fmt.Sprintf("%d of %d replicas are ready, and the Service leads to %d", d.Ready, d.Desired, d.Endpoints))
}

func (d *diagnosis) version() {
	const check = "version"
	_, tag, _ := strings.Cut(d.Image[strings.LastIndex(d.Image, "/")+1:], ":")
	tag, _, _ = strings.Cut(tag, "@")
	if tag != "" && d.Version != "dev" && strings.TrimPrefix(tag, "v") != strings.TrimPrefix(d.Version, "v") {
		d.add(check, Warn, fmt.Sprintf("the cluster runs %s, and this program is %s: what it finds wrong may be right there", d.Image, d.Version), "use the drey of that version, or drey install --image with this one's")
	}
	d.ok(check, d.Image)
}

// patience is how long after its end a Lease may be somebody's who is about to renew it.
const patience = 15 * time.Second

func (d *diagnosis) leaders() {
	const check = "leader"
	if d.Options.Store == bundle.Embedded { // one process alone: it has no Lease for that
		d.ok(check, "there is one process")
		return
	}
	if d.unknown(check) {
		return
	}
	lease, ok := d.Leases["drey"]
	logs := fmt.Sprintf("kubectl logs -n %s deployment/%s, and look for \"lease\"", d.Options.Namespace, bundle.Name)
	switch {
	case !ok:
		d.add(check, Fail, "no replica leads: namespaces are not marked, and pods without labels do not get them", logs)
	case d.Now.Sub(lease.Renewed) > lease.For+patience:
		d.add(check, Fail, fmt.Sprintf("no replica leads; the last did %s ago: namespaces are not marked, and pods without labels do not get them", d.Now.Sub(lease.Renewed).Round(time.Second)), logs)
	}
	d.ok(check, "one replica leads, and said so a moment ago")
}

func (d *diagnosis) certificate() {
	const check = "certificate"
	renew := fmt.Sprintf("kubectl logs -n %s deployment/%s, and look for \"certificate\"", d.Options.Namespace, bundle.Name)
	if d.Options.Certs == bundle.CertManager {
		renew = fmt.Sprintf("kubectl describe certificate -n %s", d.Options.Namespace)
	}
	switch {
	case d.Foreign:
		d.add(check, Fail, fmt.Sprintf("Secret %s is not drey's, for it lacks the label %s=%s: drey leaves it alone, and has no certificate", d.Secret, certs.ManagedByLabel, certs.Owner),
			fmt.Sprintf("kubectl delete secret -n %s %s, if nobody needs it", d.Options.Namespace, d.Secret))
		return
	case d.Leaf == nil && d.Unreadable == nil:
		d.add(check, Warn, fmt.Sprintf("there is no certificate in Secret %s", d.Secret), renew)
		return
	case d.Unreadable != nil:
		d.add(check, Warn, fmt.Sprintf("Secret %s cannot be read: %v", d.Secret, d.Unreadable), "have somebody run drey doctor who may read it; the metrics drey_certificate_expiry_timestamp_seconds say when it ends, too")
		return
	}
	for _, one := range append([]*x509.Certificate{d.Leaf}, d.CA...) {
		what := "CA"
		if one == d.Leaf {
			what = "serving certificate"
		}
		life, left := one.NotAfter.Sub(one.NotBefore), one.NotAfter.Sub(d.Now)
		switch {
		case d.Now.Before(one.NotBefore):
			d.add(check, Fail, fmt.Sprintf("the %s is not valid before %s: the clocks differ", what, one.NotBefore.UTC().Format(time.RFC3339)), "set the clock of this machine, or of the nodes")
		case left <= 0 && one == d.Leaf:
			d.add(check, Fail, fmt.Sprintf("the %s ended %s ago", what, days(-left)), renew)
		case left < life/4 && left > 0:
			d.add(check, Warn, fmt.Sprintf("the %s ends in %s, with a quarter of its life left: something keeps it from being renewed", what, days(left)), renew)
		}
	}
	if service := d.service(); d.Leaf.VerifyHostname(service) != nil {
		d.add(check, Fail, fmt.Sprintf("the serving certificate is for %s, and the API server calls %s", cmp.Or(strings.Join(d.Leaf.DNSNames, ", "), "no name"), service), renew)
	}
	d.ok(check, fmt.Sprintf("it ends in %s", days(d.Leaf.NotAfter.Sub(d.Now))))
}

func days(d time.Duration) string {
	if d < 48*time.Hour {
		return d.Round(time.Minute).String()
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

func (d *diagnosis) service() string {
	return fmt.Sprintf("%s.%s.svc", bundle.Name, d.Options.Namespace)
}

// trust looks whether the API server would trust what is served.
func (d *diagnosis) trust() {
	const check = "caBundle"
	n := 0
	for _, kind := range []string{"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"} {
		live := d.Live[Key(kind, "", config.Name)]
		if live == nil {
			continue
		}
		webhooks, _, _ := unstructured.NestedSlice(live.Object, "webhooks")
		for _, w := range webhooks {
			one, _ := w.(map[string]any)
			name, _, _ := unstructured.NestedString(one, "name")
			text, _, _ := unstructured.NestedString(one, "clientConfig", "caBundle")
			n++
			pem, _ := base64.StdEncoding.DecodeString(text) // what is none trusts nothing
			roots := x509.NewCertPool()
			some := roots.AppendCertsFromPEM(pem)
			restart := fmt.Sprintf("kubectl rollout restart -n %s deployment/%s: the replica that leads writes it; and take the caBundle out of what GitOps applies", d.Options.Namespace, bundle.Name)
			switch {
			case !some:
				d.add(check, Fail, fmt.Sprintf("the webhook %s does not trust the certificate that is served: it has no caBundle", name), restart)
			case d.Leaf != nil:
				if _, err := d.Leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: d.Now, DNSName: d.service()}); err != nil {
					d.add(check, Fail, fmt.Sprintf("the webhook %s does not trust the certificate that is served: %v", name, err), restart)
				}
			}
		}
	}
	if d.Leaf == nil {
		d.ok(check, fmt.Sprintf("%d webhooks have one; whether it trusts what is served, only the certificate tells", n))
	}
	d.ok(check, fmt.Sprintf("%d webhooks trust what is served", n))
}

// deadlocks looks for who would keep drey's pods from starting.
func (d *diagnosis) deadlocks() {
	const check = "deadlock"
	if d.unknown(check) {
		return
	}
	for _, w := range d.Others {
		if w.Fails && w.Pods && w.Home {
			d.add(check, Warn, fmt.Sprintf("the webhook %s of %s is asked about pods in %s, and refuses them while it does not answer: then drey cannot start", w.Name, w.Configuration, d.Options.Namespace),
				fmt.Sprintf("have its namespaceSelector leave %s out: {key: kubernetes.io/metadata.name, operator: NotIn, values: [%s]}", d.Options.Namespace, d.Options.Namespace))
		}
	}
	d.ok(check, "no webhook of others stands between drey and its start")
}

func (d *diagnosis) modes() {
	const check = "modes"
	if d.unknown(check) {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(d.Namespaces)) {
		mode, ok := d.Namespaces[name][config.LabelMode]
		if !ok {
			continue
		}
		if _, err := config.ParseMode(mode); err != nil {
			d.add(check, Warn, fmt.Sprintf("namespace %s has the label %s=%s, which is no mode: the installation's holds, %s", name, config.LabelMode, mode, d.Options.Mode),
				fmt.Sprintf("kubectl label namespace %s %s=warn --overwrite (or enforce, audit; or %s- for none)", name, config.LabelMode, config.LabelMode))
		}
	}
	d.ok(check, "no namespace has a mode that is none")
}

// marks compares targets with the marks by which the built-in policy goes.
func (d *diagnosis) marks() {
	const check = "targets"
	if d.NoTargets != nil {
		d.add(check, Warn, fmt.Sprintf("the targets cannot be read: %v", d.NoTargets), "have somebody run drey doctor who may list deploymenttargets.drey.dev; with --store embedded they are in drey's file: drey targets list")
		return
	}
	if d.unknown(check) {
		return
	}
	excluded := append([]string{d.Options.Namespace}, config.SystemNamespaces...)
	targeted := map[string]bool{}
	logs := fmt.Sprintf("kubectl logs -n %s deployment/%s, and look for \"namespace not labeled\"", d.Options.Namespace, bundle.Name)
	for _, t := range d.Targets {
		targeted[t.Namespace] = true
		labels, there := d.Namespaces[t.Namespace]
		switch {
		case !there:
			d.add(check, Warn, fmt.Sprintf("DeploymentTarget %s in platform namespace %s points at namespace %s, which is not there", t.Name, t.Platform, t.Namespace), "kubectl create namespace "+t.Namespace)
		case labels[config.LabelRegistered] != config.Registered && !slices.Contains(excluded, t.Namespace):
			d.add(check, Fail, fmt.Sprintf("namespace %s has a target and lacks the mark %s: the built-in policy refuses Flink's pods there", t.Namespace, config.LabelRegistered), logs)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.Namespaces)) {
		if d.Namespaces[name][config.LabelRegistered] == config.Registered && !targeted[name] {
			d.add(check, Warn, fmt.Sprintf("namespace %s is marked, and has no target: while drey is down, anything of Flink's may run there", name), logs)
		}
	}
	d.ok(check, fmt.Sprintf("%d targets, and their namespaces are marked", len(d.Targets)))
}
