// Package modes caches the modes that namespaces set by [config.LabelMode]. It reads only
// the namespaces that have the label.
package modes

import (
	"cmp"
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

// Modes is a cache of the modes of namespaces.
type Modes struct {
	fallback webhookconfig.Mode
	informer cache.SharedIndexInformer
}

// entry is a namespace with a mode; "" if its label is none.
type entry struct {
	name, version string
	mode          webhookconfig.Mode
}

// GetObjectMeta implements [metav1.ObjectMetaAccessor].
func (e *entry) GetObjectMeta() metav1.Object {
	return &metav1.ObjectMeta{Name: e.name, ResourceVersion: e.version}
}

// New returns a cache that is not running. fallback is the mode of namespaces that set
// none. It requires list and watch of namespaces.
func New(config *rest.Config, fallback webhookconfig.Mode, log *slog.Logger) (*Modes, error) {
	client, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return newModes(client, fallback, log)
}

func newModes(client metadata.Interface, fallback webhookconfig.Mode, log *slog.Logger) (*Modes, error) {
	labeled := listwatch.Metadata(client, schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}, func(o *metav1.ListOptions) { o.LabelSelector = webhookconfig.LabelMode })
	informer := cache.NewSharedIndexInformer(labeled, &metav1.PartialObjectMetadata{}, 0, cache.Indexers{})
	m := &Modes{fallback, informer}
	if err := informer.SetTransform(func(object any) (any, error) {
		n, ok := object.(*metav1.PartialObjectMetadata)
		if !ok {
			return object, nil
		}
		mode, err := webhookconfig.ParseMode(n.Labels[webhookconfig.LabelMode])
		if err != nil {
			log.Warn("namespace label ignored", "namespace", n.Name, "label", webhookconfig.LabelMode, "error", err)
			mode = ""
		}
		return &entry{n.Name, n.ResourceVersion, mode}, nil
	}); err != nil {
		return nil, err
	}
	return m, informer.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *cache.Reflector, err error) {
		log.Warn("namespaces not watched: their modes may be out of date", "label", webhookconfig.LabelMode, "error", err)
	})
}

// Run watches until ctx ends.
func (m *Modes) Run(ctx context.Context) { m.informer.RunWithContext(ctx) }

// Synced reports whether the initial list has been read.
func (m *Modes) Synced() bool { return m.informer.HasSynced() }

// Of returns the mode of a namespace. A label that is no mode counts as none.
func (m *Modes) Of(namespace string) webhookconfig.Mode {
	object, ok, err := m.informer.GetIndexer().GetByKey(namespace)
	if err != nil || !ok {
		return m.fallback
	}
	return cmp.Or(object.(*entry).mode, m.fallback)
}
