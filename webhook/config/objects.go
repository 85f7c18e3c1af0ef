package config

import (
	"maps"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
)

// Objects are the objects that register drey's admission with the API server.
type Objects struct {
	Mutating   *admissionregistrationv1.MutatingWebhookConfiguration
	Validating *admissionregistrationv1.ValidatingWebhookConfiguration
	Policies   []*admissionregistrationv1.ValidatingAdmissionPolicy
	Bindings   []*admissionregistrationv1.ValidatingAdmissionPolicyBinding
}

// NewObjects returns the objects, with the labels by which drey uninstall finds them.
// withRegistry includes the webhooks of the registry, which is kept in the cluster then.
func NewObjects(client Client, withRegistry bool, o PolicyOptions) Objects {
	all := Objects{Mutating: Mutating(client, o.Exclude, o.Username), Validating: Validating(client, o.Exclude)}
	if withRegistry {
		all.Validating.Webhooks = append(all.Validating.Webhooks, ValidatingRegistry(client, o.Username)...)
	}
	all.Policies, all.Bindings = Policies(o)
	for _, p := range all.Policies {
		p.Labels = maps.Clone(labels)
	}
	for _, b := range all.Bindings {
		b.Labels = maps.Clone(labels)
	}
	return all
}

// List returns all objects: webhook configurations, policies, and bindings.
func (o Objects) List() []any {
	all := []any{o.Mutating, o.Validating}
	for _, p := range o.Policies {
		all = append(all, p)
	}
	for _, b := range o.Bindings {
		all = append(all, b)
	}
	return all
}
