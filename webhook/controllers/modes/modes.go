// Package modes follows the label by which a namespace sets its own mode. Of the
// cluster's namespaces only those that carry it are read.
package modes

import (
	"context"
	"log/slog"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"drey.dev/drey/listwatch"
	webhookconfig "drey.dev/drey/webhook/config"
)

// Modes answers from memory.
type Modes struct {
	otherwise webhookconfig.Mode
	informer  cache.SharedIndexInformer
}

// New prepares to follow. otherwise is the mode of a namespace that sets none. It
// needs the right to list and watch namespaces.
func New(config *rest.Config, otherwise webhookconfig.Mode, log *slog.Logger) (*Modes, error) {
	client, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	labeled := listwatch.Metadata(client, schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}, func(l *metav1.ListOptions) { l.LabelSelector = webhookconfig.LabelMode })
	informer := cache.NewSharedIndexInformer(labeled, &metav1.PartialObjectMetadata{}, 0, cache.Indexers{})
	m := &Modes{otherwise, informer}
	if err := informer.SetTransform(func(object any) (any, error) {
		if n, ok := object.(*metav1.PartialObjectMetadata); ok {
			if _, err := webhookconfig.ParseMode(n.Labels[webhookconfig.LabelMode]); err != nil {
				log.Warn("label of a namespace not understood", "namespace", n.Name, "label", webhookconfig.LabelMode, "error", err)
			}
			n.ObjectMeta = metav1.ObjectMeta{Name: n.Name, ResourceVersion: n.ResourceVersion, Labels: map[string]string{webhookconfig.LabelMode: n.Labels[webhookconfig.LabelMode]}}
		}
		return object, nil
	}); err != nil {
		return nil, err
	}
	return m, informer.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *cache.Reflector, err error) {
		log.Warn("namespaces not followed: their own modes may be out of date", "label", webhookconfig.LabelMode, "error", err)
	})
}

// Run follows the namespaces until ctx ends.
func (m *Modes) Run(ctx context.Context) { m.informer.RunWithContext(ctx) }

// Synced says whether all namespaces that were there at the start are known.
func (m *Modes) Synced() bool { return m.informer.HasSynced() }

// Of is the mode of a namespace.
func (m *Modes) Of(namespace string) webhookconfig.Mode {
	object, ok, err := m.informer.GetIndexer().GetByKey(namespace)
	if err != nil || !ok {
		return m.otherwise
	}
	mode, err := webhookconfig.ParseMode(object.(*metav1.PartialObjectMetadata).Labels[webhookconfig.LabelMode])
	if err != nil {
		return m.otherwise
	}
	return mode
}
