package kubestore

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"sync"

	"github.com/google/uuid"

	"drey.dev/drey/registry"
)

// objectCache holds the objects that the watches delivered, and the registry's view of them.
// The view omits terminating objects, and objects whose name in REST belongs to an older one.
//
// Changes are applied in the order of the watches, of which there is one for each kind.
type objectCache struct {
	feed          *registry.Feed
	enqueueStatus func(uuid.UUID) // called under mu with each object whose status may be outdated; nil: not called

	ownNamespace   string                                                 // where a target without a namespace points
	checkNamespace func(namespace string, labels map[string]string) error // nil: every namespace is ready

	mu         sync.RWMutex
	records    map[uuid.UUID]*record // by uid
	names      map[place]*claims[string]
	ids        *claims[uuid.UUID]
	references map[reference]int // number of objects with that reference
	namespaces map[string]*namespace
	targets    map[string]*targetNamespace
	counts     map[string]int           // objects per Kubernetes namespace
	sizes      map[string]int64         // record.size of all objects per Kubernetes namespace
	kinds      map[registry.Kind]int    // number of objects
	received   map[registry.Kind]uint64 // resourceVersion up to which the watch has delivered
	pending    pendingWrites
	changed    chan struct{} // closed and replaced on every change
}

// place is the platform namespace of objects of one kind.
type place struct {
	kind     registry.Kind
	platform string
}

// targetNamespace is a Kubernetes namespace that targets point at.
type targetNamespace struct {
	name  string
	first *record // of a list
}

// reference is a reference to a target of the same namespace, by name or by id.
type reference struct{ namespace, name, id string }

func newObjectCache() *objectCache {
	return &objectCache{
		feed: &registry.Feed{}, records: map[uuid.UUID]*record{}, names: map[place]*claims[string]{}, ids: newClaims[uuid.UUID](),
		references: map[reference]int{}, namespaces: map[string]*namespace{}, targets: map[string]*targetNamespace{}, counts: map[string]int{}, sizes: map[string]int64{},
		kinds: map[registry.Kind]int{}, received: map[registry.Kind]uint64{}, changed: make(chan struct{}),
	}
}

// owner returns the record that the registry shows at a key; nil: none.
func (c *objectCache) owner(key registry.Key) *record {
	if names := c.names[place{key.Kind, key.Namespace}]; names != nil {
		return names.owners[key.Name]
	}
	return nil
}

// named returns the records with a name in REST, the owner of the name first.
func (c *objectCache) named(key registry.Key) iter.Seq[*record] {
	if names := c.names[place{key.Kind, key.Namespace}]; names != nil {
		return names.of(key.Name)
	}
	return func(func(*record) bool) {}
}

// upsert stores the state of an object, unless a newer one is cached.
func (c *objectCache) upsert(rec *record) {
	old := c.records[rec.uid]
	if old != nil && old.version >= rec.version {
		return
	}
	c.replace(old, rec)
}

// remove removes an object.
func (c *objectCache) remove(uid uuid.UUID) {
	if old := c.records[uid]; old != nil {
		c.replace(old, nil)
	}
}

// replace replaces a record, either of which may be nil, and publishes what that changes in
// the view: of the object, and of those that request the same keys.
func (c *objectCache) replace(old, rec *record) {
	affected := map[*record]bool{}
	touch := func(rec *record) {
		key := registry.Key{Kind: rec.Kind, Namespace: rec.platform, Name: rec.name()}
		for other := range c.named(key) {
			affected[other] = true
		}
		for _, id := range []uuid.UUID{rec.id, rec.uid} {
			for other := range c.ids.of(id) {
				affected[other] = true
			}
		}
		if rec.reference != nil {
			c.enqueueTargets(*rec.reference)
		}
		c.enqueueTargets(reference{namespace: key.Namespace, name: key.Name})
	}
	if old != nil {
		touch(old)
		delete(affected, old)
		c.unindex(old)
	}
	if rec != nil {
		c.index(rec)
		touch(rec)
	}
	c.publish(old, rec, affected)
	if old != nil && rec == nil || old == nil && rec != nil {
		c.publishNamespace(cmp.Or(old, rec).platform)
	}
}

func (c *objectCache) index(rec *record) {
	c.records[rec.uid] = rec
	c.kinds[rec.Kind]++
	c.counts[rec.platform]++
	c.sizes[rec.platform] += int64(rec.size)
	c.indexTarget(rec)
	if rec.reference != nil {
		c.references[*rec.reference]++
	}
	if rec.terminating {
		return // a terminating object owns nothing
	}
	names := c.names[rec.place()]
	if names == nil {
		names = newClaims[string]()
		c.names[rec.place()] = names
	}
	names.add(rec.name(), rec, older)
	c.ids.add(rec.id, rec, byPriority(rec.id))
	if rec.uid != rec.id { // no other object gets it as an id
		c.ids.add(rec.uid, rec, byPriority(rec.uid))
	}
}

func (c *objectCache) unindex(rec *record) {
	delete(c.records, rec.uid)
	c.kinds[rec.Kind]--
	decrement(c.counts, rec.platform)
	if c.sizes[rec.platform] -= int64(rec.size); c.counts[rec.platform] == 0 {
		delete(c.sizes, rec.platform)
	}
	c.unindexTarget(rec)
	if rec.reference != nil {
		decrement(c.references, *rec.reference)
	}
	if names := c.names[rec.place()]; names != nil {
		if names.remove(rec.name(), rec); len(names.owners) == 0 {
			delete(c.names, rec.place())
		}
	}
	c.ids.remove(rec.id, rec)
	c.ids.remove(rec.uid, rec)
}

func decrement[K comparable](counts map[K]int, key K) {
	if counts[key]--; counts[key] <= 0 {
		delete(counts, key)
	}
}

// shownAs is how the registry shows a record. The zero value is not shown.
type shownAs struct {
	rec *record
	id  uuid.UUID
}

func (v shownAs) object() registry.Object { return v.rec.view(v.id) }

func (v shownAs) hasKeyOf(other shownAs) bool {
	return v.rec.place() == other.rec.place() && v.rec.name() == other.rec.name()
}

// shownAs returns how the registry shows a record at present.
func (rec *record) shownAs() shownAs {
	if !rec.shown {
		return shownAs{}
	}
	return shownAs{rec, rec.shownID()}
}

// shownID returns the id of a record that is shown.
func (rec *record) shownID() uuid.UUID {
	if rec.hasID {
		return rec.id
	}
	return rec.uid
}

// publish recomputes the view of the affected records and publishes the differences:
// deletions first, so that no two objects have the same key at any time.
func (c *objectCache) publish(old, rec *record, affected map[*record]bool) {
	type change struct {
		rec           *record
		before, after shownAs
	}
	var changes []change
	for r := range affected {
		if r != rec {
			changes = append(changes, change{r, r.shownAs(), c.show(r)})
		}
	}
	switch {
	case rec != nil && old != nil:
		changes = append(changes, change{rec, old.shownAs(), c.show(rec)})
	case rec != nil:
		changes = append(changes, change{rec, shownAs{}, c.show(rec)})
	default:
		changes = append(changes, change{old, old.shownAs(), shownAs{}})
	}
	for _, ch := range changes {
		if ch.before.rec != nil && (ch.after.rec == nil || !ch.after.hasKeyOf(ch.before)) {
			c.feed.PublishFrom(ch.rec.Kind, registry.Deleted, ch.before.object)
		}
	}
	for _, ch := range changes {
		if ch.rec != old {
			c.enqueue(ch.rec.uid)
		}
		switch {
		case ch.after.rec == nil:
		case ch.before.rec == nil || !ch.before.hasKeyOf(ch.after):
			c.feed.PublishFrom(ch.rec.Kind, registry.Added, ch.after.object)
		case ch.before.id != ch.after.id || ch.before.rec.packed != ch.after.rec.packed:
			c.feed.PublishFrom(ch.rec.Kind, registry.Modified, ch.after.object)
		}
	}
}

// show decides how the registry shows a record: not if another object owns its name, and with its uid
// as its id if another object owns the requested one.
func (c *objectCache) show(rec *record) shownAs {
	rec.shown = c.names[rec.place()] != nil && c.names[rec.place()].owners[rec.name()] == rec
	rec.hasID = c.idOf(rec) == rec.id
	return rec.shownAs()
}

// idOf returns the id of an object, which need not be cached yet.
func (c *objectCache) idOf(rec *record) uuid.UUID {
	for other := range c.ids.of(rec.id) {
		if other.uid == rec.uid {
			break
		}
		if byPriority(rec.id)(other, rec) < 0 {
			return rec.uid
		}
	}
	return rec.id
}

// all calls f with the objects of a kind that the registry shows, ordered by namespace and name;
// namespace "" is all. It holds one of them at a time.
func (c *objectCache) all(kind registry.Kind, namespace string, f func(registry.Object)) {
	if kind == registry.Namespace {
		if namespace == "" {
			c.allNamespaces(f)
		}
		return
	}
	places := []place{{kind, namespace}}
	if namespace == "" {
		places = places[:0]
		for p := range c.names {
			if p.kind == kind {
				places = append(places, p)
			}
		}
	}
	slices.SortFunc(places, func(a, b place) int { return cmp.Compare(a.platform, b.platform) })
	for _, p := range places {
		names := c.names[p]
		if names == nil {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(names.owners)) {
			f(names.owners[name].shownAs().object())
		}
	}
}

func (c *objectCache) allNamespaces(f func(registry.Object)) {
	for _, name := range slices.Sorted(maps.Keys(c.namespaces)) {
		if n := c.namespaces[name]; n.shown {
			f(n.view())
		}
	}
}

// list returns the objects of a kind that the registry shows, ordered by namespace and name.
func (c *objectCache) list(kind registry.Kind, namespace string) []registry.Object {
	found := []registry.Object{}
	if names := c.names[place{kind, namespace}]; names != nil {
		found = make([]registry.Object, 0, len(names.owners))
	}
	c.all(kind, namespace, func(o registry.Object) { found = append(found, o) })
	return found
}

func sortByKey(list []registry.Object) {
	slices.SortFunc(list, func(a, b registry.Object) int {
		return cmp.Or(cmp.Compare(a.Metadata.Namespace, b.Metadata.Namespace), cmp.Compare(a.Metadata.Name, b.Metadata.Name))
	})
}

// broadcast wakes all goroutines in [Store.wait].
func (c *objectCache) broadcast() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// enqueue queues an object for a status update.
func (c *objectCache) enqueue(uid uuid.UUID) {
	if c.enqueueStatus != nil {
		c.enqueueStatus(uid)
	}
}

// enqueueTargets queues the targets of a reference for a status update.
func (c *objectCache) enqueueTargets(r reference) {
	if c.enqueueStatus == nil {
		return
	}
	targets := c.named(registry.Key{Kind: registry.DeploymentTarget, Namespace: r.namespace, Name: r.name})
	if r.id != "" {
		targets = c.ids.of(parseUID(r.id))
	}
	for rec := range targets {
		c.enqueue(rec.uid)
	}
}
