package kubestore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"

	"drey.dev/drey/registry"
)

// ErrNotServed is that a cluster does not know drey's objects.
var ErrNotServed = errors.New("the cluster does not serve drey's objects")

// Objects reads the registry in a cluster once: targets, Deployments and
// SessionClusters, of one platform namespace or, if it is empty, of all. It takes the
// right to list them, and leaves no watch behind. The error may be [ErrNotServed], or
// refused with [registry.ReasonForbidden].
func Objects(ctx context.Context, config *rest.Config, namespace string) ([]registry.Object, error) {
	s := &Store{mirror: newMirror(), log: slog.New(slog.DiscardHandler), options: Options{Person: true}}
	var err error
	if s.objects, err = newClient(config); err != nil {
		return nil, err
	}
	var all []registry.Object
	for _, kind := range []registry.Kind{registry.DeploymentTarget, registry.SessionCluster, registry.Deployment} {
		found, err := s.listLive(ctx, resources[kind], namespace)
		switch {
		case apierrors.IsNotFound(err):
			return nil, ErrNotServed
		case err != nil:
			return nil, fmt.Errorf("read the registry in the cluster: %w", err)
		}
		all = append(all, found...)
	}
	return all, nil
}
