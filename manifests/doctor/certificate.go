package doctor

import (
	"cmp"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"iter"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"drey.dev/drey/certs"
	"drey.dev/drey/manifests/bundle"
	"drey.dev/drey/webhook/config"
)

func (d *diagnosis) certificate() {
	const check = "certificate"
	renew := fmt.Sprintf("kubectl logs -n %s deployment/%s, and look for \"certificate\"", d.Options.Namespace, bundle.Name)
	if d.Options.Certs == bundle.CertManager {
		renew = fmt.Sprintf("kubectl describe certificate -n %s", d.Options.Namespace)
	}
	switch {
	case d.SecretForeign:
		d.add(check, Fail, fmt.Sprintf("Secret %s lacks the label %s=%s: drey does not use Secrets of others, and has no certificate", d.Secret, certs.ManagedByLabel, certs.Owner),
			fmt.Sprintf("if it is not needed: kubectl delete secret -n %s %s", d.Options.Namespace, d.Secret))
		return
	case d.Leaf == nil && d.SecretError == nil && d.Ready == 0: // no replica has created it
		return
	case d.Leaf == nil && d.SecretError == nil:
		d.add(check, Warn, fmt.Sprintf("no certificate in Secret %s", d.Secret), renew)
		return
	case d.SecretError != nil:
		d.add(check, Warn, fmt.Sprintf("cannot read Secret %s: %v", d.Secret, d.SecretError), runWithRights+"; or see the metric drey_certificate_expiry_timestamp_seconds")
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
			d.add(check, Fail, fmt.Sprintf("the %s is not valid before %s: clocks differ", what, one.NotBefore.UTC().Format(time.RFC3339)), "set the clock of this machine, or of the nodes")
		case left <= 0 && one == d.Leaf:
			d.add(check, Fail, fmt.Sprintf("the %s expired %s ago", what, days(-left)), renew)
		case left < life/4 && left > 0:
			d.add(check, Warn, fmt.Sprintf("the %s expires in %s, less than a quarter of its lifetime: renewal fails", what, days(left)), renew)
		}
	}
	if service := d.service(); d.Leaf.VerifyHostname(service) != nil {
		d.add(check, Fail, fmt.Sprintf("the serving certificate is valid for %s, and the API server calls %s", cmp.Or(strings.Join(d.Leaf.DNSNames, ", "), "no name"), service), renew)
	}
	d.ok(check, fmt.Sprintf("it expires in %s", days(d.Leaf.NotAfter.Sub(d.Now))))
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

// webhookClients returns the client configuration of each of drey's webhooks that exist, by
// name.
func (d *diagnosis) webhookClients() iter.Seq2[string, map[string]any] {
	return func(yield func(string, map[string]any) bool) {
		for _, kind := range []string{"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"} {
			live := d.Live[Key(kind, "", config.Name)]
			if live == nil {
				continue
			}
			webhooks, _, _ := unstructured.NestedSlice(live.Object, "webhooks")
			for _, w := range webhooks {
				one, _ := w.(map[string]any)
				name, _, _ := unstructured.NestedString(one, "name")
				client, _, _ := unstructured.NestedMap(one, "clientConfig")
				if !yield(name, client) {
					return
				}
			}
		}
	}
}

// leaderWrites is the fix for a field of the webhook configurations that the leader writes.
func (d *diagnosis) leaderWrites(field string) string {
	return fmt.Sprintf("kubectl rollout restart -n %s deployment/%s: the leader writes it; and remove the %s from manifests in GitOps", d.Options.Namespace, bundle.Name, field)
}

// trust checks the serving certificate against the caBundles.
func (d *diagnosis) trust() {
	const check = "caBundle"
	var reasons []string
	untrusted := map[string][]string{} // webhooks by reason
	fault := func(name, reason string) {
		if untrusted[reason] == nil {
			reasons = append(reasons, reason)
		}
		untrusted[reason] = append(untrusted[reason], name)
		d.untrusted++
	}
	for name, client := range d.webhookClients() {
		text, _, _ := unstructured.NestedString(client, "caBundle")
		d.webhooks++
		pem, _ := base64.StdEncoding.DecodeString(text) // invalid base64 leaves no roots
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			fault(name, "no caBundle")
		} else if d.Leaf != nil {
			if _, err := d.Leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: d.Now, DNSName: d.service()}); err != nil {
				fault(name, err.Error())
			}
		}
	}
	for _, reason := range reasons {
		names := untrusted[reason]
		message := fmt.Sprintf("the webhook %s does not trust the serving certificate: %s", names[0], reason)
		if len(names) > 1 {
			message = fmt.Sprintf("%d of %d webhooks do not trust the serving certificate: %s: %s", len(names), d.webhooks, reason, some(names))
		}
		d.add(check, Fail, message, d.leaderWrites("caBundle"))
	}
	switch {
	case d.webhooks == 0: // the check admission says so
	case d.Leaf == nil:
		d.ok(check, fmt.Sprintf("%d webhooks have one; not verified without the certificate", d.webhooks))
	default:
		d.ok(check, fmt.Sprintf("%d webhooks trust the serving certificate", d.webhooks))
	}
}

// paths checks that the webhooks' paths have a token. No finding states it.
func (d *diagnosis) paths() {
	const check = "path"
	base := config.Paths()
	n := 0
	var without, foreign []string
	for name, client := range d.webhookClients() {
		path, _, _ := unstructured.NestedString(client, "service", "path")
		switch {
		case client["url"] != nil: // the check objects says so
		case base[name] == "" || certs.HasPathToken(path, base[name]):
			n++
		case path == base[name]:
			without = append(without, name)
		default:
			foreign = append(foreign, name)
		}
	}
	if len(without) > 0 {
		d.add(check, Fail, fmt.Sprintf("the path of the webhook %s has no token: drey answers reviews of any pod that reaches it, and none of its own objects", some(without)), d.leaderWrites("path"))
	}
	if len(foreign) > 0 {
		d.add(check, Fail, fmt.Sprintf("the webhook %s has no path with a token: drey answers none of its calls", some(foreign)), d.leaderWrites("path"))
	}
	if n == 0 && len(without)+len(foreign) == 0 { // the check admission says so
		return
	}
	d.ok(check, fmt.Sprintf("the paths of %d webhooks have a token", n))
}
