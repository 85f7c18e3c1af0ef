package bundle

import (
	"fmt"

	"drey.dev/drey/registry"
	"drey.dev/drey/webhook/config"
	"drey.dev/drey/webhook/verdict"
)

// admission returns the webhook configurations, and the policies that hold while drey is
// down. drey or cert-manager injects the caBundles.
func (o *Options) admission() ([]Object, error) {
	exclude := append([]string{o.Namespace}, config.SystemNamespaces...)
	client := config.ByService(o.Namespace, Name, webhookServicePort)
	username := fmt.Sprintf("system:serviceaccount:%s:%s", o.Namespace, o.ServiceAccount)
	validating := config.Validating(client, exclude)
	if o.Store == Kubernetes {
		validating.Webhooks = append(validating.Webhooks, config.ValidatingRegistry(client, username)...)
	}
	typed := []any{config.Mutating(client, exclude, username), validating}
	policies, bindings := config.Policies(config.PolicyOptions{
		Exclude: exclude, Mode: o.Mode, Username: username, OwnNamespace: o.Namespace, Contact: o.Contact,
		RegisterCommand: verdict.RegisterHint{URL: o.RESTURL, NeedsToken: true, InCluster: o.Store == Kubernetes}.Command("NAMESPACE", registry.DefaultNamespace),
	})
	guard, guardBinding := config.RepairGuard(username)
	policies, bindings = append(policies, guard), append(bindings, guardBinding)
	for _, p := range policies {
		p.Labels = labels()
		typed = append(typed, p)
	}
	for _, b := range bindings {
		b.Labels = labels()
		typed = append(typed, b)
	}
	all, err := convert(typed...)
	for _, object := range all {
		object.SetAnnotations(with(map[string]string{syncWave: "1"}, object.GetAnnotations()))
	}
	return all, err
}

// syncWave is the annotation by which Argo CD applies the admission stage once the server is
// ready, and deletes it first.
const syncWave = "argocd.argoproj.io/sync-wave"
