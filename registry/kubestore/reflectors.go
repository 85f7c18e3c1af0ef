package kubestore

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
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
	return listwatch.Consistent(cache.NewFilteredListWatchFromClient(s.objects, r.Plural, s.options.PlatformNamespace, func(*metav1.ListOptions) {}), s.objects)
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
)

func (s reflectorStore) Add(o any) error    { return s.receive(o, false) }
func (s reflectorStore) Update(o any) error { return s.receive(o, false) }
func (s reflectorStore) Delete(o any) error { return s.receive(o, true) }
func (s reflectorStore) Resync() error      { return nil }

func (s reflectorStore) receive(o any, deleted bool) error {
	obj, ok := o.(codec.Object)
	if !ok {
		return fmt.Errorf("received a %T instead of a %s", o, s.Kind)
	}
	rec := newRecord(s.Resource, obj)
	s.mu.Lock()
	defer s.mu.Unlock()
	if deleted {
		s.remove(obj.GetUID())
	} else {
		s.upsert(rec)
	}
	s.setReceived(s.Kind, rec.version)
	return nil
}

// Replace replaces all objects of the kind, after each list. The list wins even if its
// versions are lower than those received before: etcd was restored from a snapshot then.
func (s reflectorStore) Replace(list []any, version string) error {
	listed := map[types.UID]*record{}
	for _, o := range list {
		obj, ok := o.(codec.Object)
		if !ok {
			return fmt.Errorf("received a %T instead of a %s", o, s.Kind)
		}
		listed[obj.GetUID()] = newRecord(s.Resource, obj)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for uid, rec := range s.records {
		if rec.Kind == s.Kind && listed[uid] == nil {
			s.remove(uid)
		}
	}
	byVersion := slices.SortedFunc(maps.Values(listed), func(a, b *record) int { return cmp.Compare(a.version, b.version) })
	for _, rec := range byVersion { // in the order of their writes
		if old := s.records[rec.object.GetUID()]; old == nil || old.object.GetResourceVersion() != rec.object.GetResourceVersion() {
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
