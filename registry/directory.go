package registry

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/google/uuid"
)

// directory caches which platform namespaces exist, which object has an id, and the bytes
// in use. The store's watch feeds it.
type directory struct {
	mu         sync.RWMutex
	namespaces map[string]bool
	shelves    map[Key]*shelf // by kind and platform namespace
	ids        map[idKey]address
	displayed  map[Key]string // free-text names by object
	titles     map[Key][]Key  // objects by kind, platform namespace and free-text name
	usage      usage
}

// shelf has the objects of one kind in one platform namespace.
type shelf struct {
	kind      Kind
	namespace string
	entries   map[string]entry // by name
}

// entry is the directory's record of an object.
type entry struct {
	id   idKey
	size int64
}

// address is the key of an object.
type address struct {
	*shelf
	name string
}

func (a address) key() Key { return Key{a.kind, a.namespace, a.name} }

// idKey is an id in binary, of a third of the memory. Ids that are not UUIDs in lower case, which only
// tests have, are hashed.
type idKey uuid.UUID

func newIDKey(id string) idKey {
	if parsed, err := uuid.Parse(id); err == nil && len(id) == 36 && strings.ToLower(id) == id {
		return idKey(parsed)
	}
	return idKey(uuid.NewSHA1(uuid.NameSpaceOID, []byte(id)))
}

func newDirectory() *directory {
	return &directory{namespaces: make(map[string]bool), shelves: make(map[Key]*shelf), ids: make(map[idKey]address), displayed: make(map[Key]string), titles: make(map[Key][]Key), usage: newUsage()}
}

func (d *directory) observe(e Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	key, there := e.Object.Key(), e.Change != Deleted
	switch {
	case key.Kind == Namespace && there:
		d.namespaces[key.Name] = true
	case key.Kind == Namespace:
		delete(d.namespaces, key.Name)
	case there:
		now := entry{newIDKey(e.Object.Metadata.ID), e.Object.Size()}
		d.usage.changed(key, now.size-d.forget(key).size)
		d.put(key, now)
		if name := e.Object.Metadata.DisplayName; name != "" {
			d.displayed[key] = name
			title := Key{key.Kind, key.Namespace, name}
			d.titles[title] = append(d.titles[title], key)
		}
	default:
		d.usage.changed(key, -d.forget(key).size)
	}
}

func (d *directory) put(key Key, e entry) {
	place := Key{Kind: key.Kind, Namespace: key.Namespace}
	s := d.shelves[place]
	if s == nil {
		s = &shelf{key.Kind, key.Namespace, make(map[string]entry)}
		d.shelves[place] = s
	}
	s.entries[key.Name], d.ids[e.id] = e, address{s, key.Name}
}

// forget drops the entry of an object and returns it. An id that another has by now stays.
func (d *directory) forget(key Key) entry {
	place := Key{Kind: key.Kind, Namespace: key.Namespace}
	s := d.shelves[place]
	if s == nil {
		return entry{}
	}
	was, known := s.entries[key.Name]
	if known && d.ids[was.id] == (address{s, key.Name}) {
		delete(d.ids, was.id)
	}
	if delete(s.entries, key.Name); len(s.entries) == 0 {
		delete(d.shelves, place)
	}
	if name, ok := d.displayed[key]; ok {
		title := Key{key.Kind, key.Namespace, name}
		if d.titles[title] = slices.DeleteFunc(d.titles[title], func(k Key) bool { return k == key }); len(d.titles[title]) == 0 {
			delete(d.titles, title)
		}
		delete(d.displayed, key)
	}
	return was
}

// resolve returns the key of an object that a client addresses by its name, its id, or a free-text
// name: that of older clients, from which the name was derived, or one that no other object has.
func (d *directory) resolve(key Key) Key {
	if !kinds[key.Kind].byID {
		return key
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	if found, ok := d.ids[newIDKey(key.Name)]; ok && found.kind == key.Kind && found.namespace == key.Namespace {
		return found.key()
	}
	if !freeNames.MatchString(key.Name) {
		candidate := Key{key.Kind, key.Namespace, slug(key.Name)}
		if d.displayed[candidate] == key.Name {
			return candidate
		}
		if found := d.titles[key]; len(found) == 1 {
			return found[0]
		}
	}
	return key
}

// resolve is [directory.resolve], with a consistent read after a miss if other processes write to
// the store.
func (r *Registry) resolve(ctx context.Context, key Key) (Key, error) {
	resolved := r.directory.resolve(key)
	if r.shared() == nil || resolved != key || !kinds[key.Kind].byID || !isUUID(key.Name) && freeNames.MatchString(key.Name) {
		return resolved, nil
	}
	hasID := func(o Object) bool { return o.Metadata.ID == key.Name }
	found, ok, err := r.search(ctx, key.Kind, key.Namespace, hasID, func(o Object) bool { return hasAddress(o, key.Name) })
	if !ok && err == nil && !freeNames.MatchString(key.Name) {
		found, ok, err = r.searchOne(ctx, key.Kind, key.Namespace, func(o Object) bool { return o.Metadata.DisplayName == key.Name })
	}
	if !ok {
		found = key
	}
	return found, err
}

// searchOne finds the only object that matches, by a consistent list.
func (r *Registry) searchOne(ctx context.Context, kind Kind, namespace string, matches func(Object) bool) (Key, bool, error) {
	all, err := r.store.List(ctx, kind, namespace, Consistent)
	if err != nil {
		return Key{}, false, err
	}
	all = slices.DeleteFunc(all, func(o Object) bool { return !matches(o) })
	if len(all) != 1 {
		return Key{}, false, nil
	}
	return all[0].Key(), true, nil
}

// byID finds an object of a kind and platform namespace by its id.
func (r *Registry) byID(ctx context.Context, kind Kind, namespace, id string) (Key, bool, error) {
	key, ok := r.directory.byID(id)
	if ok || r.shared() == nil {
		return key, ok && key.Kind == kind && key.Namespace == namespace, nil
	}
	return r.search(ctx, kind, namespace, func(o Object) bool { return o.Metadata.ID == id })
}

// search finds an object by a consistent list: the first match of the first matcher that has one.
func (r *Registry) search(ctx context.Context, kind Kind, namespace string, matchers ...func(Object) bool) (Key, bool, error) {
	all, err := r.store.List(ctx, kind, namespace, Consistent)
	if err != nil {
		return Key{}, false, err
	}
	for _, matches := range matchers {
		if i := slices.IndexFunc(all, matches); i >= 0 {
			return all[i].Key(), true, nil
		}
	}
	return Key{}, false, nil
}

// hasAddress reports whether a client may address an object so: by its name or, if its kind allows
// that, by its id or its free-text name.
func hasAddress(o Object, address string) bool {
	m := o.Metadata
	return address == m.Name || kinds[o.Kind].byID && (address == m.ID || address == m.DisplayName && m.Name == slug(address))
}

// byID returns the key of the object with an id.
func (d *directory) byID(id string) (Key, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	found, ok := d.ids[newIDKey(id)]
	if !ok {
		return Key{}, false
	}
	return found.key(), true
}

func (d *directory) hasNamespace(name string) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.namespaces[name]
}

// SameName reports whether two names or ids address the same object.
func (r *Registry) SameName(ctx context.Context, kind Kind, namespace, a, b string) (bool, error) {
	if a == b {
		return true, nil
	}
	first, err := r.resolve(ctx, Key{kind, namespace, a})
	if err != nil {
		return false, err
	}
	second, err := r.resolve(ctx, Key{kind, namespace, b})
	return first == second, err
}
