package namespacelabels

import (
	"context"
	"log/slog"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"

	"drey.dev/drey/listwatch"
	"drey.dev/drey/webhook/config"
)

// Cache holds the registered and draining namespaces: those that have, or had, a target.
// Every replica has one.
type Cache struct{ informer cache.SharedIndexInformer }

// NewCache returns a Cache that is not running. It requires list and watch of namespaces.
func NewCache(client metadata.Interface, log *slog.Logger) (*Cache, error) {
	informer := cache.NewSharedIndexInformer(listwatch.Metadata(client, namespaces, func(o *metav1.ListOptions) {
		o.LabelSelector = config.LabelRegistered + " in (" + config.Registered + ", " + config.Draining + ")"
	}), &metav1.PartialObjectMetadata{}, 0, cache.Indexers{})
	if err := informer.SetTransform(trim); err != nil {
		return nil, err
	}
	return &Cache{informer}, informer.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *cache.Reflector, err error) {
		log.Warn("registered namespaces not watched: draining ones may be out of date", "label", config.LabelRegistered, "error", err)
	})
}

// Run watches until ctx ends.
func (c *Cache) Run(ctx context.Context) { c.informer.RunWithContext(ctx) }

// Synced reports whether the initial list has been read.
func (c *Cache) Synced() bool { return c.informer.HasSynced() }

// HadTarget reports whether a namespace has, or had, a target.
func (c *Cache) HadTarget(namespace string) bool {
	_, ok, err := c.informer.GetIndexer().GetByKey(namespace)
	return ok && err == nil
}
