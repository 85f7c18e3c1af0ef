package namespacelabels

import (
	"context"
	"log/slog"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"

	"drey.dev/drey/webhook/config"
)

// Cache is a cache of the marked namespaces: those that have, or had, a target. Every
// process of drey has one.
type Cache struct{ informer cache.SharedIndexInformer }

// NewCache prepares to follow the marks. It needs the right to list and watch namespaces.
func NewCache(client metadata.Interface, log *slog.Logger) (*Cache, error) {
	informer := metadatainformer.NewFilteredMetadataInformer(client, namespaces, metav1.NamespaceAll, 0, cache.Indexers{}, func(l *metav1.ListOptions) {
		l.LabelSelector = config.LabelRegistered + " in (" + config.Registered + ", " + config.Draining + ")"
	}).Informer()
	if err := informer.SetTransform(slim); err != nil {
		return nil, err
	}
	return &Cache{informer}, informer.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *cache.Reflector, err error) {
		log.Warn("marks of namespaces not watched: what drains may be out of date", "label", config.LabelRegistered, "error", err)
	})
}

// Run follows the marks until ctx ends.
func (r *Cache) Run(ctx context.Context) { r.informer.RunWithContext(ctx) }

// Synced says whether all marks that were there at the start are known.
func (r *Cache) Synced() bool { return r.informer.HasSynced() }

// HadTarget tells whether a namespace is marked.
func (r *Cache) HadTarget(namespace string) bool {
	_, ok, err := r.informer.GetIndexer().GetByKey(namespace)
	return ok && err == nil
}
