package doctor

import (
	"cmp"
	"crypto/x509"
	"encoding/base64"
	"fmt"
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

// trust checks the serving certificate against the caBundles.
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
			pem, _ := base64.StdEncoding.DecodeString(text) // invalid base64 leaves no roots
			roots := x509.NewCertPool()
			some := roots.AppendCertsFromPEM(pem)
			restart := fmt.Sprintf("kubectl rollout restart -n %s deployment/%s: the leader writes it; and remove the caBundle from manifests in GitOps", d.Options.Namespace, bundle.Name)
			switch {
			case !some:
				d.add(check, Fail, fmt.Sprintf("the webhook %s does not trust the serving certificate: it has no caBundle", name), restart)
			case d.Leaf != nil:
				if _, err := d.Leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: d.Now, DNSName: d.service()}); err != nil {
					d.add(check, Fail, fmt.Sprintf("the webhook %s does not trust the serving certificate: %v", name, err), restart)
				}
			}
		}
	}
	if d.Leaf == nil {
		d.ok(check, fmt.Sprintf("%d webhooks have one; not verified without the certificate", n))
	}
	d.ok(check, fmt.Sprintf("%d webhooks trust the serving certificate", n))
}
