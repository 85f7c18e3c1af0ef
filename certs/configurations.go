package certs

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"strings"

	"net/url"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"drey.dev/drey/certs/rotation"
)

// configuration is a webhook configuration of either kind.
type configuration struct {
	kind     string // as kubectl wants it
	meta     metav1.ObjectMeta
	webhooks []registered
}

// registered is a webhook in a configuration.
type registered struct {
	name     string
	host     string
	caBundle []byte
	bundle   []*x509.Certificate // what of caBundle can be read
}

func mutating(c *admissionv1.MutatingWebhookConfiguration) configuration {
	out := configuration{kind: "mutatingwebhookconfiguration", meta: c.ObjectMeta}
	for _, w := range c.Webhooks {
		out.webhooks = append(out.webhooks, register(w.Name, w.ClientConfig))
	}
	return out
}

func validating(c *admissionv1.ValidatingWebhookConfiguration) configuration {
	out := configuration{kind: "validatingwebhookconfiguration", meta: c.ObjectMeta}
	for _, w := range c.Webhooks {
		out.webhooks = append(out.webhooks, register(w.Name, w.ClientConfig))
	}
	return out
}

func register(name string, client admissionv1.WebhookClientConfig) registered {
	w := registered{name: name, caBundle: client.CABundle}
	w.bundle, _ = decodeCerts(client.CABundle) // what cannot be read is trusted by nobody
	switch {
	case client.Service != nil:
		w.host = client.Service.Name + "." + client.Service.Namespace + ".svc"
	case client.URL != nil:
		if u, err := url.Parse(*client.URL); err == nil {
			w.host = u.Hostname()
		}
	}
	return w
}

// owned returns nil if the configuration is drey's.
func (c configuration) owned() error {
	if c.meta.Labels[NameLabel] == Owner {
		return nil
	}
	return fmt.Errorf("%s %s is not drey's, for it lacks a label, and is left alone. If it is: kubectl label %s %s %s=%s",
		c.kind, c.meta.Name, c.kind, c.meta.Name, NameLabel, Owner)
}

// trusts returns the webhooks as the API server would call them.
func trusts(all []configuration) []rotation.Trust {
	var out []rotation.Trust
	for _, c := range all {
		for _, w := range c.webhooks {
			out = append(out, rotation.Trust{Webhook: fmt.Sprintf("%s %s (%s)", c.kind, c.meta.Name, w.name), Host: w.host, Bundle: w.bundle})
		}
	}
	return out
}

// change is an operation of a JSON patch.
type change struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

// patch makes a JSON patch of the changes that fails if the configuration is
// another than the one that was read, or not drey's.
func (c configuration) patch(changes ...change) ([]byte, error) {
	return json.Marshal(append([]change{
		{"test", "/metadata/resourceVersion", c.meta.ResourceVersion},
		{"test", "/metadata/labels/" + escape(NameLabel), Owner},
	}, changes...))
}

// trust returns what changes so that each webhook trusts the bundle and nothing
// else: nothing if it is so.
func (c configuration) trust(bundle []*x509.Certificate) []change {
	var out []change
	for i, w := range c.webhooks {
		if !rotation.Same(w.bundle, bundle) {
			out = append(out, change{"add", fmt.Sprintf("/webhooks/%d/clientConfig/caBundle", i), encodeCerts(bundle)})
		}
	}
	return out
}

// annotate returns what changes so that the configuration has the annotation.
func (c configuration) annotate(key, value string) []change {
	switch {
	case c.meta.Annotations[key] == value:
		return nil
	case c.meta.Annotations == nil:
		return []change{{"add", "/metadata/annotations", map[string]string{key: value}}}
	}
	return []change{{"add", "/metadata/annotations/" + escape(key), value}}
}

// escape makes an element of a JSON pointer.
func escape(key string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
}
