package observe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"drey.dev/drey/cmd/drey/cli/client"
	"drey.dev/drey/cmd/drey/cli/command"
	"drey.dev/drey/cmd/drey/cli/kubectl"
	"drey.dev/drey/cmd/drey/server"
	"drey.dev/drey/denials"
	"drey.dev/drey/denials/configmap"
	"drey.dev/drey/inventory"
	"drey.dev/drey/inventory/cluster"
	"drey.dev/drey/registry"
	webhookconfig "drey.dev/drey/webhook/config"
	"drey.dev/drey/webhook/flink"
	"drey.dev/drey/webhook/owners"
)

// clusterObserver reads the cluster of kubectl's context with the rights of the user.
type clusterObserver struct {
	kubectl   kubectl.Cluster
	namespace string // Kubernetes namespace; "": all
	follow    bool   // changes are watched

	inventory *inventory.Inventory // nil before the first use
	history   *denials.History     // nil before the first use
	store     *configmap.Store
}

func (c *clusterObserver) workloads(ctx context.Context, q inventory.Query) (inventory.Page, error) {
	if c.inventory == nil {
		if err := c.watchWorkloads(ctx); err != nil {
			return inventory.Page{}, err
		}
	}
	return c.inventory.List(q)
}

func (c *clusterObserver) usage(ctx context.Context, by inventory.GroupBy, f inventory.Filter) ([]inventory.Total, error) {
	if err := c.watchWorkloads(ctx); err != nil {
		return nil, err
	}
	return c.inventory.Usage(by, f)
}

// useTimeout bounds the reading of what pods use: the requests are shown without it.
const useTimeout = 5 * time.Second

// watchWorkloads fills the inventory until ctx ends, and waits until it has synced.
func (c *clusterObserver) watchWorkloads(ctx context.Context) error {
	config, err := c.kubectl.Config()
	if err != nil {
		return err
	}
	config.QPS, config.Burst = 50, 100
	syncing, cancel := context.WithTimeout(ctx, client.RequestTimeout)
	defer cancel()
	meta, err := metadata.NewForConfig(config)
	if err != nil {
		return err
	}
	store, _, err := client.OpenClusterRegistry(ctx, config, cmp.Or(c.namespace, c.kubectl.Namespace()))
	if err != nil {
		return err
	}
	index := registry.NewIndex(server.PodNamespace())
	if err := index.Follow(ctx, store); err != nil {
		return err
	}
	finder, err := owners.New(config, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	o := cluster.Options{Config: config, Owners: lookupOwners{ctx, finder}, Registry: index, Inventory: inventory.New(), Namespace: c.namespace, Exclude: slices.Clone(webhookconfig.SystemNamespaces)}
	cached, err := mayListEverywhere(ctx, meta)
	if err != nil {
		return err
	}
	if cached {
		o.Owners = finder
	}
	use, feeder, err := newFeeder(config, o)
	if err != nil {
		return err
	}
	if cached {
		if err := finder.OnKnownChanged(feeder.Changed); err != nil {
			return err
		}
		go finder.Run(ctx)
	}
	reading, stop := context.WithTimeout(syncing, useTimeout)
	defer stop()
	used := make(chan struct{})
	go func() { use.Read(reading); close(used) }()
	c.inventory = o.Inventory
	err = wait.PollUntilContextCancel(syncing, 20*time.Millisecond, true, func(context.Context) (bool, error) { return o.Owners.Synced(), nil })
	<-used
	if err == nil {
		err = feeder.Load(syncing)
	}
	switch {
	case apierrors.IsForbidden(err):
		return command.WithCode(command.ExitRefused, fmt.Errorf("%w; show a namespace of your own: -n NAMESPACE, or use --server URL with drey's REST API", err))
	case err != nil:
		return command.WithCode(command.ExitUnavailable, fmt.Errorf("workloads not listed within %s: %w; use --server URL with drey's REST API", client.RequestTimeout, err))
	}
	if c.follow {
		go feeder.Run(ctx)
		if cached {
			go use.Run(ctx)
		}
	}
	return nil
}

func newFeeder(config *rest.Config, o cluster.Options) (use *cluster.PodMetrics, feeder *cluster.Feeder, err error) {
	if use, err = cluster.NewPodMetrics(config, slog.New(slog.DiscardHandler), func(namespace string) { feeder.Changed(namespace) }); err != nil {
		return nil, nil, err
	}
	o.Use = use
	feeder, err = cluster.New(o)
	return use, feeder, err
}

// mayListEverywhere reports whether the user may list the owners of pods in all namespaces.
func mayListEverywhere(ctx context.Context, meta metadata.Interface) (bool, error) {
	_, err := meta.Resource(schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}).List(ctx, metav1.ListOptions{Limit: 1})
	if apierrors.IsForbidden(err) {
		return false, nil
	}
	return err == nil, err
}

// lookupOwners reads owners one by one, for a user with the rights of one namespace. Workloads
// without pods are not found.
type lookupOwners struct {
	ctx    context.Context //nolint:containedctx // of the command
	finder *owners.Owners
}

func (l lookupOwners) KnownRoot(namespace string, refs []flink.OwnerReference, podLabels map[string]string) (root owners.Known, ok bool) {
	found, _ := l.finder.Of(l.ctx, &flink.Object{Kind: "ReplicaSet", Namespace: namespace, OwnerReferences: refs, Pod: flink.Pod{Labels: podLabels}})
	for _, o := range found {
		custom := flink.IsCustomResource(o.APIVersion, o.Kind)
		if !o.LookupFailed && (!root.Custom || custom) {
			root, ok = owners.Known{Owner: o, Custom: custom}, true
		}
	}
	return root, ok
}

func (lookupOwners) KnownRoots(string) []owners.Known { return nil }
func (lookupOwners) KnownNamespaces() []string        { return nil }
func (lookupOwners) HasUID(string) bool               { return false }
func (lookupOwners) Synced() bool                     { return true }

func (c *clusterObserver) denials(ctx context.Context, q denials.Query) (denials.Page, error) {
	if c.history != nil {
		return c.history.List(q)
	}
	config, err := c.kubectl.Config()
	if err != nil {
		return denials.Page{}, err
	}
	if c.store, err = configmap.New(config, server.PodNamespace()); err != nil {
		return denials.Page{}, err
	}
	document, err := c.store.Read(ctx)
	if apierrors.IsForbidden(err) {
		return denials.Page{}, command.WithCode(command.ExitRefused, fmt.Errorf("%w; events of your namespace have its denials: kubectl get events -n %s --field-selector source=drey; or use --server URL with drey's REST API",
			err, cmp.Or(c.namespace, "NAMESPACE")))
	}
	if err != nil {
		return denials.Page{}, err
	}
	c.history = denials.NewHistory("", nil)
	c.history.Load(document)
	return c.history.List(q)
}

func (c *clusterObserver) watch(ctx context.Context, list func(context.Context) error, f func(*inventory.Change, *denials.Change) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		workloads *inventory.Subscription
		denied    *denials.Subscription
		ready     [2]<-chan struct{}
	)
	if c.inventory != nil {
		workloads = c.inventory.Subscribe()
		defer workloads.Close()
		ready[0] = workloads.Ready()
	}
	if c.history != nil {
		denied = c.history.Subscribe()
		defer denied.Close()
		ready[1] = denied.Ready()
		go func() { cancel(c.history.Follow(ctx, c.store)) }()
	}
	if err := list(ctx); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
				return err
			}
			return nil
		case <-ready[0]:
			for _, change := range workloads.Take() {
				if err := f(&change, nil); err != nil {
					return err
				}
			}
		case <-ready[1]:
			for _, change := range denied.Take() {
				if err := f(nil, &change); err != nil {
					return err
				}
			}
		}
	}
}
