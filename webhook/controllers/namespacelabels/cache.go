package namespacelabels

import (
	"context"
	"log/slog"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"

	"drey.dev/drey/listwatch"
	"drey.dev/drey/webhook/config"
)

// Cache holds the registered and draining namespaces: those that have, or had, a target.
// Every replica has one.
type Cache struct {
	informer cache.SharedIndexInformer

	mu    sync.Mutex
	since map[string]time.Time // when each namespace was added
	added chan struct{}        // closed and replaced when a namespace is added
}

// NewCache returns a Cache that is not running. It requires list and watch of namespaces.
func NewCache(client metadata.Interface, log *slog.Logger) (*Cache, error) {
	informer := cache.NewSharedIndexInformer(listwatch.Metadata(client, namespaces, func(o *metav1.ListOptions) {
		o.LabelSelector = config.LabelRegistered + " in (" + config.Registered + ", " + config.Draining + ")"
	}), &metav1.PartialObjectMetadata{}, 0, cache.Indexers{})
	if err := informer.SetTransform(trim); err != nil {
		return nil, err
	}
	c := &Cache{informer: informer, since: map[string]time.Time{}, added: make(chan struct{})}
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: c.onAdd, DeleteFunc: c.onDelete}); err != nil {
		return nil, err
	}
	return c, informer.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *cache.Reflector, err error) {
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

func (c *Cache) onAdd(object any) {
	name, err := cache.MetaNamespaceKeyFunc(object)
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.since[name] = time.Now()
	close(c.added)
	c.added = make(chan struct{})
}

func (c *Cache) onDelete(object any) {
	name, err := cache.DeletionHandlingMetaNamespaceKeyFunc(object)
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.since, name)
}

// AwaitRegistered waits until a namespace is in the cache, and the policies of the API server
// have had time to follow, or until ctx ends.
func (c *Cache) AwaitRegistered(ctx context.Context, namespace string) {
	for {
		c.mu.Lock()
		since, ok := c.since[namespace]
		added := c.added
		c.mu.Unlock()
		var propagated <-chan time.Time
		if ok {
			wait := policyPropagationDelay - time.Since(since)
			if wait <= 0 {
				return
			}
			propagated, added = time.After(wait), nil
		}
		select {
		case <-added:
		case <-propagated:
			return
		case <-ctx.Done():
			return
		}
	}
}
