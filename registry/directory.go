package registry

import "sync"

// directory knows from memory which platform namespaces there are, and which
// object has an id. The store's watch feeds it.
type directory struct {
	mu         sync.RWMutex
	namespaces map[string]bool
	ids        map[string]Key
	displayed  map[Key]string // free-text names, by the key of who has them
	names      names          // of platform namespaces
}

func newDirectory() *directory {
	return &directory{namespaces: make(map[string]bool), ids: make(map[string]Key), displayed: make(map[Key]string), names: make(names)}
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
		key.Namespace = d.names.one(key.Namespace) // few have many objects
		d.ids[e.Object.Metadata.ID] = key
		if e.Object.Metadata.DisplayName != "" {
			d.displayed[key] = e.Object.Metadata.DisplayName
		}
	default:
		delete(d.ids, e.Object.Metadata.ID)
		delete(d.displayed, key)
	}
}

// resolve turns what a client addresses an object by into the key that it is
// kept under: an id of an object of that kind and namespace, or the free text
// that older clients call a name. Anything else is the name itself.
func (d *directory) resolve(key Key) Key {
	if !kinds[key.Kind].byID {
		return key
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	if found, ok := d.ids[key.Name]; ok && found.Kind == key.Kind && found.Namespace == key.Namespace {
		return found
	}
	if !freeNames.MatchString(key.Name) {
		candidate := Key{key.Kind, key.Namespace, slug(key.Name)}
		if d.displayed[candidate] == key.Name {
			return candidate
		}
	}
	return key
}

// byID returns the key of the object with an id.
func (d *directory) byID(id string) (Key, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	key, ok := d.ids[id]
	return key, ok
}

func (d *directory) hasNamespace(name string) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.namespaces[name]
}

// SameName reports whether two ways to address an object mean the same one.
func (r *Registry) SameName(kind Kind, namespace, a, b string) bool {
	return a == b || r.known.resolve(Key{kind, namespace, a}) == r.known.resolve(Key{kind, namespace, b})
}
