package bundle

import (
	"fmt"

	"drey.dev/drey/registry"
	"drey.dev/drey/webhook"
	"drey.dev/drey/webhook/gate"
	"drey.dev/drey/webhook/verdict"
)

// gates are what calls drey, and what holds while it does not answer. Their
// caBundles are written by drey or by cert-manager.
func (o *Options) gates() ([]Object, error) {
	exclude := append([]string{o.Namespace}, webhook.SystemNamespaces...)
	client := webhook.ByService(o.Namespace, Name, webhookServicePort)
	self := fmt.Sprintf("system:serviceaccount:%s:%s", o.Namespace, Name)
	validating := webhook.Validating(client, exclude)
	if o.Store == Kubernetes {
		validating.Webhooks = append(validating.Webhooks, webhook.ValidatingObjects(client, self))
	}
	typed := []any{webhook.Mutating(client, exclude), validating}
	policies, bindings := gate.Policies(gate.Options{
		Exclude: exclude, Mode: o.Mode, Self: self, Home: o.Namespace,
		Register: verdict.Registry{URL: o.RESTURL, AsksWho: true, InCluster: o.Store == Kubernetes}.Command("NAMESPACE", registry.DefaultNamespace),
	})
	policy, held := gate.Repair(self)
	policies, bindings = append(policies, policy), append(bindings, held)
	for _, p := range policies {
		p.Labels = labels()
		typed = append(typed, p)
	}
	for _, b := range bindings {
		b.Labels = labels()
		typed = append(typed, b)
	}
	return convert(typed...)
}
