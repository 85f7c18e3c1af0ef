package bundle

import (
	"fmt"

	"drey.dev/drey/registry"
	"drey.dev/drey/webhook/config"
	"drey.dev/drey/webhook/verdict"
)

// gates are what calls drey, and what holds while it does not answer. Their
// caBundles are written by drey or by cert-manager.
func (o *Options) gates() ([]Object, error) {
	exclude := append([]string{o.Namespace}, config.SystemNamespaces...)
	client := config.ByService(o.Namespace, Name, webhookServicePort)
	self := fmt.Sprintf("system:serviceaccount:%s:%s", o.Namespace, Name)
	validating := config.Validating(client, exclude)
	if o.Store == Kubernetes {
		validating.Webhooks = append(validating.Webhooks, config.ValidatingRegistry(client, self))
	}
	typed := []any{config.Mutating(client, exclude), validating}
	policies, bindings := config.Policies(config.PolicyOptions{
		Exclude: exclude, Mode: o.Mode, Username: self, OwnNamespace: o.Namespace,
		RegisterCommand: verdict.RegisterHint{URL: o.RESTURL, NeedsToken: true, InCluster: o.Store == Kubernetes}.Command("NAMESPACE", registry.DefaultNamespace),
	})
	policy, held := config.RepairGuard(self)
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
