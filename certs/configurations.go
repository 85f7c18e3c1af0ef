package certs

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"drey.dev/drey/certs/rotation"
)

// configuration is a webhook configuration of either kind.
type configuration struct {
	kind     string // resource name for kubectl
	meta     metav1.ObjectMeta
	webhooks []webhookEntry
}

// webhookEntry is a webhook of a configuration.
type webhookEntry struct {
	name     string
	host     string
	path     string   // of the URL that the API server calls; empty if none is stated
	url      *url.URL // nil for a Service
	caBundle []byte
	bundle   []*x509.Certificate // the readable certificates of caBundle
}

func mutating(c *admissionregistrationv1.MutatingWebhookConfiguration) configuration {
	out := configuration{kind: "mutatingwebhookconfiguration", meta: c.ObjectMeta}
	for _, w := range c.Webhooks {
		out.webhooks = append(out.webhooks, newEntry(w.Name, w.ClientConfig))
	}
	return out
}

func validating(c *admissionregistrationv1.ValidatingWebhookConfiguration) configuration {
	out := configuration{kind: "validatingwebhookconfiguration", meta: c.ObjectMeta}
	for _, w := range c.Webhooks {
		out.webhooks = append(out.webhooks, newEntry(w.Name, w.ClientConfig))
	}
	return out
}

func newEntry(name string, client admissionregistrationv1.WebhookClientConfig) webhookEntry {
	w := webhookEntry{name: name, caBundle: client.CABundle}
	w.bundle, _ = decodeCerts(client.CABundle) // unreadable certificates are not trusted
	switch {
	case client.Service != nil:
		w.host = client.Service.Name + "." + client.Service.Namespace + ".svc"
		if client.Service.Path != nil {
			w.path = *client.Service.Path
		}
	case client.URL != nil:
		if u, err := url.Parse(*client.URL); err == nil {
			w.host, w.path, w.url = u.Hostname(), u.Path, u
		}
	}
	return w
}

// checkOwner returns nil if the configuration belongs to drey.
func (c configuration) checkOwner() error {
	if c.meta.Labels[NameLabel] == Owner {
		return nil
	}
	return fmt.Errorf("%s %s does not belong to drey: label %s=%s is missing; if it is drey's, run: kubectl label %s %s %s=%s",
		c.kind, c.meta.Name, NameLabel, Owner, c.kind, c.meta.Name, NameLabel, Owner)
}

// webhookClients returns the TLS configuration of the API server for each webhook.
func webhookClients(all []configuration) []rotation.WebhookClient {
	var out []rotation.WebhookClient
	for _, c := range all {
		for _, w := range c.webhooks {
			out = append(out, rotation.WebhookClient{Webhook: fmt.Sprintf("%s %s (%s)", c.kind, c.meta.Name, w.name), ServerName: w.host, CABundle: w.bundle})
		}
	}
	return out
}

// patchOp is an operation of a JSON patch.
type patchOp struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

// jsonPatch returns a JSON patch with the preconditions that the configuration is
// unchanged since it was read, and belongs to drey.
func (c configuration) jsonPatch(ops ...patchOp) ([]byte, error) {
	return json.Marshal(append([]patchOp{
		{"test", "/metadata/resourceVersion", c.meta.ResourceVersion},
		{"test", "/metadata/labels/" + escape(NameLabel), Owner},
	}, ops...))
}

// caBundleOps returns the operations that set the caBundle of every webhook, empty if all
// of them already equal it.
func (c configuration) caBundleOps(bundle []*x509.Certificate) []patchOp {
	var out []patchOp
	for i, w := range c.webhooks {
		if !rotation.SameBundle(w.bundle, bundle) {
			out = append(out, patchOp{"add", fmt.Sprintf("/webhooks/%d/clientConfig/caBundle", i), encodeCerts(bundle)})
		}
	}
	return out
}

// annotateOps returns the operations that set an annotation, empty if it is set.
func (c configuration) annotateOps(key, value string) []patchOp {
	switch {
	case c.meta.Annotations[key] == value:
		return nil
	case c.meta.Annotations == nil:
		return []patchOp{{"add", "/metadata/annotations", map[string]string{key: value}}}
	}
	return []patchOp{{"add", "/metadata/annotations/" + escape(key), value}}
}

// escape escapes an element of a JSON pointer.
func escape(key string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
}
