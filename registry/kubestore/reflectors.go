package kubestore

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"drey.dev/drey/listwatch"
	"drey.dev/drey/registry"
	"drey.dev/drey/registry/kubestore/internal/codec"
)

// startReflectors starts the watches, which run until life ends, and returns once each has
// delivered its list.
func (s *Store) startReflectors(ctx, life context.Context) error {
	reflectors := map[registry.Kind]*cache.Reflector{}
	if s.options.PlatformNamespace == "" {
		reflectors[registry.Namespace] = s.namespaceReflector()
	} else {
		s.assumeNamespace(s.options.PlatformNamespace)
	}
	for kind, r := range codec.Resources {
		reflectors[kind] = cache.NewReflectorWithOptions(s.listWatch(r), r.New(), reflectorStore{s.objectCache, r}, reflectorOptions("registry/"+r.Plural))
	}
	for _, r := range reflectors {
		go r.RunWithContext(life)
	}
	return s.wait(ctx, func() bool {
		for kind := range reflectors {
			if s.received[kind] == 0 {
				return false
			}
		}
		return true
	})
}

// reflectorOptions caps the reflector's backoff at 3 s, instead of 30 s: every read is a
// consistent read until the watch is back.
func reflectorOptions(name string) cache.ReflectorOptions {
	return cache.ReflectorOptions{Name: name, Backoff: &wait.Backoff{Duration: 200 * time.Millisecond, Factor: 2, Steps: 5, Cap: 3 * time.Second, Jitter: 1}}
}

func (s *Store) listWatch(r *codec.Resource) cache.ListerWatcher {
	source := cache.NewFilteredListWatchFromClient(s.objects, r.Plural, s.options.PlatformNamespace, func(*metav1.ListOptions) {})
	return listwatch.Consistent(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			list, err := source.ListWithContext(ctx, o)
			if err != nil {
				return nil, err
			}
			return listRecords(r, list)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) { return s.watch(ctx, r, o) },
	}, s.objects)
}

func (s *Store) namespaceReflector() *cache.Reflector {
	return cache.NewReflectorWithOptions(listwatch.Metadata(s.metadata, namespaceResource, nil), &metav1.PartialObjectMetadata{}, namespaceReflectorStore{s.objectCache}, reflectorOptions("registry/namespaces"))
}

// reflectorStore feeds the cache with the objects of one kind. Unlike the handlers of an
// informer, it observes an object before the watch proceeds.
type reflectorStore struct {
	*objectCache
	*codec.Resource
}

var (
	_ cache.ReflectorStore         = reflectorStore{}
	_ cache.ReflectorBookmarkStore = reflectorStore{}
	_ cache.TransformingStore      = reflectorStore{}
)

func (s reflectorStore) Add(o any) error    { return s.receive(o, false) }
func (s reflectorStore) Update(o any) error { return s.receive(o, false) }
func (s reflectorStore) Delete(o any) error { return s.receive(o, true) }
func (s reflectorStore) Resync() error      { return nil }

// Transformer implements cache.TransformingStore: a streaming list holds no whole objects.
func (s reflectorStore) Transformer() cache.TransformFunc {
	return func(o any) (any, error) { return s.received(o) }
}

// received is a custom resource of which the reflector holds the record.
type received struct{ *record }

// GetObjectMeta implements metav1.ObjectMetaAccessor.
func (r received) GetObjectMeta() metav1.Object {
	return &metav1.ObjectMeta{Namespace: r.platform, Name: r.objectName(), ResourceVersion: strconv.FormatUint(r.version, 10)}
}

// GetObjectKind implements runtime.Object.
func (r received) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject implements runtime.Object. Nobody changes a copy.
func (r received) DeepCopyObject() runtime.Object { return r }

// recordList is a page of a list.
type recordList struct {
	metav1.TypeMeta
	metav1.ListMeta
	Items []runtime.Object // received
}

// DeepCopyObject implements runtime.Object.
func (l *recordList) DeepCopyObject() runtime.Object {
	return &recordList{l.TypeMeta, l.ListMeta, slices.Clone(l.Items)}
}

// listRecords returns a list with records in place of the objects: a reflector holds all pages.
func listRecords(r *codec.Resource, list runtime.Object) (runtime.Object, error) {
	m, err := meta.ListAccessor(list)
	if err != nil {
		return nil, err
	}
	records := &recordList{ListMeta: metav1.ListMeta{ResourceVersion: m.GetResourceVersion(), Continue: m.GetContinue(), RemainingItemCount: m.GetRemainingItemCount()}}
	err = meta.EachListItem(list, func(item runtime.Object) error {
		records.Items = append(records.Items, received{newRecord(r, item.(codec.Object))})
		return nil
	})
	return records, err
}

func (s reflectorStore) received(o any) (received, error) {
	switch o := o.(type) {
	case received:
		return o, nil
	case codec.Object:
		return received{newRecord(s.Resource, o)}, nil
	}
	return received{}, fmt.Errorf("received a %T instead of a %s", o, s.Kind)
}

func (s reflectorStore) receive(o any, deleted bool) error {
	r, err := s.received(o)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if deleted {
		s.remove(r.uid)
	} else {
		s.upsert(r.record)
	}
	s.setReceived(s.Kind, r.version)
	return nil
}

// Replace replaces all objects of the kind, after each list. The list wins even if its
// versions are lower than those received before: etcd was restored from a snapshot then.
func (s reflectorStore) Replace(list []any, version string) error {
	listed := make(map[uuid.UUID]bool, len(list))
	records := make([]*record, 0, len(list))
	for _, o := range list {
		r, err := s.received(o)
		if err != nil {
			return err
		}
		listed[r.uid] = true
		records = append(records, r.record)
	}
	slices.SortFunc(records, func(a, b *record) int { return cmp.Compare(a.version, b.version) }) // in the order of their writes
	s.mu.Lock()
	defer s.mu.Unlock()
	for uid, rec := range s.records {
		if rec.Kind == s.Kind && !listed[uid] {
			s.remove(uid)
		}
	}
	for _, rec := range records {
		if old := s.records[rec.uid]; old == nil || old.version != rec.version {
			s.replace(old, rec)
		}
	}
	s.setListed(s.Kind, parseVersion(version))
	return nil
}

// Bookmark implements cache.ReflectorBookmarkStore.
func (s reflectorStore) Bookmark(version string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.setReceived(s.Kind, parseVersion(version))
	return nil
}

// setReceived advances the received version of a kind.
func (c *objectCache) setReceived(kind registry.Kind, version uint64) {
	if version > c.received[kind] {
		c.received[kind] = version
	}
	c.broadcast()
}

// setListed sets the received version of a kind after a list. A version lower than before
// belongs to a restored etcd, which lacks the pending writes.
func (c *objectCache) setListed(kind registry.Kind, version uint64) {
	if version < c.received[kind] {
		delete(c.pending.versions, kind)
		delete(c.pending.deleted, kind)
	}
	c.received[kind] = version
	c.broadcast()
}

// namespaceReflectorStore feeds the cache with the Kubernetes namespaces.
type namespaceReflectorStore struct{ *objectCache }

var _ cache.ReflectorStore = namespaceReflectorStore{}

func (s namespaceReflectorStore) Add(o any) error    { return s.receive(o, false) }
func (s namespaceReflectorStore) Update(o any) error { return s.receive(o, false) }
func (s namespaceReflectorStore) Delete(o any) error { return s.receive(o, true) }
func (s namespaceReflectorStore) Resync() error      { return nil }

func (s namespaceReflectorStore) receive(o any, deleted bool) error {
	n, ok := o.(metav1.Object)
	if !ok {
		return fmt.Errorf("received a %T instead of a namespace", o)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if deleted {
		s.removeNamespace(n.GetName())
	} else {
		s.upsertNamespace(n)
	}
	s.setReceived(registry.Namespace, parseVersion(n.GetResourceVersion()))
	return nil
}

func (s namespaceReflectorStore) Replace(list []any, version string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	listed := map[string]bool{}
	for _, o := range list {
		n, ok := o.(metav1.Object)
		if !ok {
			return fmt.Errorf("received a %T instead of a namespace", o)
		}
		listed[n.GetName()] = true
		s.upsertNamespace(n)
	}
	for name := range s.namespaces {
		if !listed[name] {
			s.removeNamespace(name)
		}
	}
	if s.received[registry.Namespace] == 0 { // statuses depend on namespaces
		for uid := range s.records {
			s.enqueue(uid)
		}
	}
	s.setListed(registry.Namespace, parseVersion(version))
	return nil
}
