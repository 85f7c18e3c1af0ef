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

// follow starts the watches, and returns when each has brought all that there
// is.
func (s *Store) follow(ctx, life context.Context) error {
	reflectors := map[registry.Kind]*cache.Reflector{}
	if s.options.Only == "" {
		reflectors[registry.Namespace] = s.namespaceReflector()
	} else {
		s.presume(s.options.Only)
	}
	for kind, r := range codec.Resources {
		reflectors[kind] = cache.NewReflectorWithOptions(s.listWatch(r), r.New(), inbox{s.mirror, r}, reflectorOptions("registry/"+r.Plural))
	}
	for _, r := range reflectors {
		go r.RunWithContext(life)
	}
	return s.await(ctx, func() bool {
		for kind := range reflectors {
			if s.seen[kind] == 0 {
				return false
			}
		}
		return true
	})
}

// reflectorOptions has a watch come back soon after the API server does: until
// then every read asks it. By itself it would wait up to half a minute.
func reflectorOptions(name string) cache.ReflectorOptions {
	return cache.ReflectorOptions{Name: name, Backoff: &wait.Backoff{Duration: 200 * time.Millisecond, Factor: 2, Steps: 5, Cap: 3 * time.Second, Jitter: 1}}
}

func (s *Store) listWatch(r *codec.Resource) cache.ListerWatcher {
	return listwatch.Consistent(cache.NewFilteredListWatchFromClient(s.objects, r.Plural, s.options.Only, func(*metav1.ListOptions) {}), s.objects)
}

// inbox feeds the mirror with what the API server tells of one kind. It is a
// reflector's store, rather than an informer's handler, so that what has been
// received has been observed.
type inbox struct {
	*mirror
	*codec.Resource
}

var (
	_ cache.ReflectorStore         = inbox{}
	_ cache.ReflectorBookmarkStore = inbox{}
)

func (i inbox) Add(o any) error    { return i.receive(o, false) }
func (i inbox) Update(o any) error { return i.receive(o, false) }
func (i inbox) Delete(o any) error { return i.receive(o, true) }

func (i inbox) receive(o any, gone bool) error {
	obj, ok := o.(codec.Object)
	if !ok {
		return fmt.Errorf("received a %T instead of a %s", o, i.Kind)
	}
	rec := newRecord(i.Resource, obj)
	i.mu.Lock()
	defer i.mu.Unlock()
	if gone {
		i.remove(obj.GetUID())
	} else {
		i.put(rec)
	}
	i.saw(rec.version)
	return nil
}

// Replace takes in all objects of the kind at once, at the start and whenever
// the watch lost its place. The list is what there is, also if its versions are behind
// those that were seen: then etcd was restored from a snapshot.
func (i inbox) Replace(list []any, version string) error {
	there := map[types.UID]*record{}
	for _, o := range list {
		obj, ok := o.(codec.Object)
		if !ok {
			return fmt.Errorf("received a %T instead of a %s", o, i.Kind)
		}
		there[obj.GetUID()] = newRecord(i.Resource, obj)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	for uid, rec := range i.records {
		if rec.Kind == i.Kind && there[uid] == nil {
			i.remove(uid)
		}
	}
	byAge := slices.SortedFunc(maps.Values(there), func(a, b *record) int { return cmp.Compare(a.version, b.version) })
	for _, rec := range byAge { // in the order in which they were written
		if old := i.records[rec.object.GetUID()]; old == nil || old.object.GetResourceVersion() != rec.object.GetResourceVersion() {
			i.replace(old, rec)
		}
	}
	i.listed(i.Kind, parseVersion(version))
	return nil
}

func (i inbox) Bookmark(version string) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.saw(parseVersion(version))
	return nil
}

func (i inbox) Resync() error { return nil }

// saw notes how far the mirror is.
func (m *mirror) sawKind(kind registry.Kind, version uint64) {
	if version > m.seen[kind] {
		m.seen[kind] = version
	}
	m.wake()
}

// listed notes that the mirror has what was there at a version. One that is behind what
// was seen begins another history, in which the writes of this process are not.
func (m *mirror) listed(kind registry.Kind, version uint64) {
	if version < m.seen[kind] {
		delete(m.unseen.version, kind)
		delete(m.unseen.gone, kind)
	}
	m.seen[kind] = version
	m.wake()
}

func (i inbox) saw(version uint64) { i.sawKind(i.Kind, version) }

// namespaceInbox feeds the mirror with the Kubernetes namespaces.
type namespaceInbox struct{ *mirror }

var _ cache.ReflectorStore = namespaceInbox{}

func (i namespaceInbox) Add(o any) error    { return i.receive(o, false) }
func (i namespaceInbox) Update(o any) error { return i.receive(o, false) }
func (i namespaceInbox) Delete(o any) error { return i.receive(o, true) }
func (i namespaceInbox) Resync() error      { return nil }

func (i namespaceInbox) receive(o any, gone bool) error {
	n, ok := o.(metav1.Object)
	if !ok {
		return fmt.Errorf("received a %T instead of a namespace", o)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if gone {
		i.removeNamespace(n.GetName())
	} else {
		i.putNamespace(n)
	}
	i.sawKind(registry.Namespace, parseVersion(n.GetResourceVersion()))
	return nil
}

func (i namespaceInbox) Replace(list []any, version string) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	there := map[string]bool{}
	for _, o := range list {
		n, ok := o.(metav1.Object)
		if !ok {
			return fmt.Errorf("received a %T instead of a namespace", o)
		}
		there[n.GetName()] = true
		i.putNamespace(n)
	}
	for name := range i.namespaces {
		if !there[name] {
			i.removeNamespace(name)
		}
	}
	if i.seen[registry.Namespace] == 0 {
		for uid := range i.records {
			i.noteUID(uid)
		}
	}
	i.listed(registry.Namespace, parseVersion(version))
	return nil
}

func (s *Store) namespaceReflector() *cache.Reflector {
	return cache.NewReflectorWithOptions(listwatch.Metadata(s.metadata, namespaceResource, nil), &metav1.PartialObjectMetadata{}, namespaceInbox{s.mirror}, reflectorOptions("registry/namespaces"))
}
