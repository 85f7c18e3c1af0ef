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
	objects := config.NewObjects(client, o.Store == Kubernetes, config.PolicyOptions{
		Exclude: exclude, Mode: o.Mode, Username: username, OwnNamespace: o.Namespace, Contact: o.Contact,
		RegisterCommand: verdict.RegisterHint{URL: o.RESTURL, NeedsToken: true, InCluster: o.Store == Kubernetes}.Command("NAMESPACE", registry.DefaultNamespace),
	})
	guard, guardBinding := config.RepairGuard(username)
	guard.Labels, guardBinding.Labels = labels(), labels()
	objects.Policies, objects.Bindings = append(objects.Policies, guard), append(objects.Bindings, guardBinding)
	all, err := convert(objects.List()...)
	for _, object := range all {
		object.SetAnnotations(with(map[string]string{syncWave: "1"}, object.GetAnnotations()))
	}
	return all, err
}

// Outside describes a drey outside the cluster, which registers its webhooks by URL.
type Outside struct {
	URL      string // of the webhooks, without a path
	Registry bool   // the registry is kept in the cluster
	config.PolicyOptions
}

// Objects returns the objects that it registers, without caBundles and tokens in paths.
func (o Outside) Objects() ([]Object, error) {
	return convert(config.NewObjects(config.ByURL(o.URL, nil, ""), o.Registry, o.PolicyOptions).List()...)
}

// syncWave is the annotation by which Argo CD applies the admission stage once the server is
// ready, and deletes it first.
const syncWave = "argocd.argoproj.io/sync-wave"
