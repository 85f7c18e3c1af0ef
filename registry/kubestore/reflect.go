package kubestore

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"drey.dev/drey/registry"
)

// inbox feeds the mirror with what the API server tells of one kind. It is a
// reflector's store, rather than an informer's handler, so that what has been
// received has been observed.
type inbox struct {
	*mirror
	*resource
}

var (
	_ cache.ReflectorStore         = inbox{}
	_ cache.ReflectorBookmarkStore = inbox{}
)

func (i inbox) Add(o any) error    { return i.receive(o, false) }
func (i inbox) Update(o any) error { return i.receive(o, false) }
func (i inbox) Delete(o any) error { return i.receive(o, true) }

func (i inbox) receive(o any, gone bool) error {
	obj, ok := o.(object)
	if !ok {
		return fmt.Errorf("received a %T instead of a %s", o, i.kind)
	}
	rec := newRecord(i.resource, obj)
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
		obj, ok := o.(object)
		if !ok {
			return fmt.Errorf("received a %T instead of a %s", o, i.kind)
		}
		there[obj.GetUID()] = newRecord(i.resource, obj)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	for uid, rec := range i.records {
		if rec.kind == i.kind && there[uid] == nil {
			i.remove(uid)
		}
	}
	byAge := slices.SortedFunc(maps.Values(there), func(a, b *record) int { return cmp.Compare(a.version, b.version) })
	for _, rec := range byAge { // in the order in which they were written
		if old := i.records[rec.object.GetUID()]; old == nil || old.object.GetResourceVersion() != rec.object.GetResourceVersion() {
			i.replace(old, rec)
		}
	}
	i.listed(i.kind, parseVersion(version))
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

func (i inbox) saw(version uint64) { i.sawKind(i.kind, version) }
