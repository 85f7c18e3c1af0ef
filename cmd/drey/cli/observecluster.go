package cli

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"drey.dev/drey/cmd/drey/server"
	"drey.dev/drey/denials"
	"drey.dev/drey/denials/configmap"
	"drey.dev/drey/inventory"
)

// clusterObserver reads the cluster of kubectl's context with the rights of the user.
type clusterObserver struct {
	kubectl   kubectlCluster
	namespace string // Kubernetes namespace; "": all

	history *denials.History // nil before the first use
	store   *configmap.Store
}

func (c *clusterObserver) workloads(context.Context, inventory.Query) (inventory.Page, error) {
	return inventory.Page{}, errors.New("not implemented")
}

func (c *clusterObserver) usage(context.Context, inventory.GroupBy, inventory.Filter) ([]inventory.Total, error) {
	return nil, errors.New("not implemented")
}

func (c *clusterObserver) denials(ctx context.Context, q denials.Query) (denials.Page, error) {
	config, err := c.kubectl.config()
	if err != nil {
		return denials.Page{}, err
	}
	namespace := server.PodNamespace()
	if c.store, err = configmap.New(config, namespace); err != nil {
		return denials.Page{}, err
	}
	document, err := c.store.Read(ctx)
	if apierrors.IsForbidden(err) {
		return denials.Page{}, &exitError{exitRefused, fmt.Errorf("%w; events of your namespace have its denials: kubectl get events -n %s --field-selector source=drey; or use --server URL with drey's REST API",
			err, orElse(c.namespace, "NAMESPACE"))}
	}
	if err != nil {
		return denials.Page{}, err
	}
	c.history = denials.NewHistory("", nil)
	c.history.Load(document)
	return c.history.List(q)
}

func (c *clusterObserver) watch(ctx context.Context, f func(*inventory.Change, *denials.Change) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	changes := c.history.Subscribe()
	defer changes.Close()
	go func() { cancel(c.history.Follow(ctx, c.store)) }()
	for {
		select {
		case <-ctx.Done():
			if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
				return err
			}
			return nil
		case <-changes.Ready():
			for _, change := range changes.Take() {
				if err := f(nil, &change); err != nil {
					return err
				}
			}
		}
	}
}
