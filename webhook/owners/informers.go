package owners

import (
	"context"
	"sync/atomic"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/cache"

	"drey.dev/drey/listwatch"
)

// kindCache is the informer of one kind. Its store has entries.
type kindCache struct {
	informer    cache.SharedIndexInformer
	unavailable atomic.Bool // the API server does not serve the kind, or drey may not list it
}

// The indexes of the informers.
const (
	byUID     = "uid"
	byCluster = "cluster" // namespace/name, the name in the form of a label value
	byID      = "id"      // the id of a Deployment or SessionCluster of the registry, see idLabel
)

// labeledOnly selects the Deployments, StatefulSets, Jobs and CronJobs that drey has labeled:
// only those are listed and cached.
const labeledOnly = "system=ververica-platform"

func selectLabeled(l *metav1.ListOptions) { l.LabelSelector = labeledOnly }

var indexers = cache.Indexers{
	byUID: func(object any) ([]string, error) {
		if e, ok := object.(*entry); ok {
			return []string{string(e.UID)}, nil
		}
		return nil, nil
	},
	byCluster: func(object any) ([]string, error) {
		if e, ok := object.(*entry); ok {
			if _, name, ok := e.cluster(); ok {
				return []string{e.Namespace + "/" + name}, nil
			}
		}
		return nil, nil
	},
	byID: func(object any) (ids []string, _ error) {
		if e, ok := object.(*entry); ok {
			if id := e.Labels[e.idLabel()]; id != "" {
				ids = append(ids, id)
			}
		}
		return ids, nil
	},
	cache.NamespaceIndex: cache.MetaNamespaceIndexFunc,
}

func (o *Owners) newKindCache(k kind) (*kindCache, error) {
	var informer cache.SharedIndexInformer
	switch {
	case k.custom:
		informer = cache.NewSharedIndexInformer(listwatch.Dynamic(o.dynamic, k.resource(), nil, trimCustom), &unstructured.Unstructured{}, 0, indexers)
	case k.hasRun():
		informer = cache.NewSharedIndexInformer(listwatch.Dynamic(o.dynamic, k.resource(), selectLabeled, trimBuiltIn), &unstructured.Unstructured{}, 0, indexers)
	default:
		informer = cache.NewSharedIndexInformer(listwatch.Metadata(o.metadata, k.resource(), selectLabeled), &metav1.PartialObjectMetadata{}, 0, indexers)
	}
	if err := informer.SetTransform(func(object any) (any, error) {
		switch object := object.(type) {
		case *unstructured.Unstructured:
			return newWholeEntry(k, object), nil
		case *metav1.PartialObjectMetadata:
			return newEntry(k, object), nil
		}
		return object, nil // an entry already, or a tombstone
	}); err != nil {
		return nil, err
	}
	c := &kindCache{informer: informer}
	return c, informer.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *cache.Reflector, err error) {
		if k.custom && (apierrors.IsNotFound(err) || apierrors.IsForbidden(err)) {
			c.unavailable.Store(true)
		}
		if k.custom && apierrors.IsNotFound(err) {
			return // its operator is not installed: the reflector retries
		}
		o.log.Warn("list or watch of owners failed: they are read one by one", "kind", k.Kind, "group", k.Group, "error", err)
	})
}

// get returns an entry of the cache. A nil kindCache, of a kind without an informer, is empty.
func (c *kindCache) get(namespace, name string) (*entry, bool) {
	if c == nil {
		return nil, false
	}
	object, ok, err := c.informer.GetIndexer().GetByKey(namespace + "/" + name)
	if err != nil || !ok {
		return nil, false
	}
	e, ok := object.(*entry)
	return e, ok
}
