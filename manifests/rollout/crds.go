package rollout

import (
	"context"

	"k8s.io/client-go/rest"

	"drey.dev/drey/manifests/bundle"
)

// InstallCRDs applies drey's CustomResourceDefinitions to the cluster of a client
// configuration and returns once the API server serves them. It needs the right to get and
// patch customresourcedefinitions.
func InstallCRDs(ctx context.Context, config *rest.Config) error {
	crds, err := bundle.CRDs()
	if err != nil {
		return err
	}
	r, err := New(config, false, func(string, string) {})
	if err != nil {
		return err
	}
	return r.Apply(ctx, []bundle.Stage{{Name: bundle.Definitions, Objects: crds}})
}
