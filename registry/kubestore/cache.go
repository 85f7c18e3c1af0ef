package kubestore

import (
	"cmp"
	"reflect"
	"slices"
	"strconv"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/kubestore/internal/codec"
)

// objectCache holds the objects that the watches delivered, and the registry's view of them.
// The view omits terminating objects, and objects whose name in REST belongs to an older one.
//
// Changes are applied in the order of the watches, of which there is one for each kind.
type objectCache struct {
	feed          *registry.Feed
	enqueueStatus func(types.UID) // called under mu with each object whose status may be outdated; nil: not called

	ownNamespace   string                                                 // where a target without a namespace points
	checkNamespace func(namespace string, labels map[string]string) error // nil: every namespace is ready

	mu         sync.RWMutex
	records    map[types.UID]*record
	shown      map[registry.Key]*record
	owners     map[ownedKey][]*record // the owner first
	references map[reference]int      // number of objects with that reference
	namespaces map[string]*namespace
	targets    map[string]map[types.UID]bool // targets by the Kubernetes namespace that they point at
	counts     map[string]int                // objects per Kubernetes namespace
	sizes      map[string]int64              // record.size of all objects per Kubernetes namespace
	kinds      map[registry.Kind]int         // number of objects
	received   map[registry.Kind]uint64      // resourceVersion up to which the watch has delivered
	pending    pendingWrites
	changed    chan struct{} // closed and replaced on every change
}

// record is one object of the cluster. Only its field shown changes.
type record struct {
	*codec.Resource
	object  codec.Object
	version uint64           // the numeric metadata.resourceVersion
	view    registry.Object  // with the requested id, which another object may own
	size    int64            // in bytes
	shown   *registry.Object // nil: not in the registry's view
}

// ownedKey is what a single object can own: a name in its platform namespace, or an id.
type ownedKey struct {
	kind            registry.Kind // of a name
	namespace, name string
	id              string
}

// reference is a reference to a target of the same namespace, by name or by id.
type reference struct{ namespace, name, id string }

func newObjectCache() *objectCache {
	return &objectCache{
		feed: &registry.Feed{}, records: map[types.UID]*record{}, shown: map[registry.Key]*record{}, owners: map[ownedKey][]*record{},
		references: map[reference]int{}, namespaces: map[string]*namespace{}, targets: map[string]map[types.UID]bool{}, counts: map[string]int{}, sizes: map[string]int64{},
		kinds: map[registry.Kind]int{}, received: map[registry.Kind]uint64{}, changed: make(chan struct{}),
	}
}

func newRecord(r *codec.Resource, o codec.Object) *record {
	rec := &record{Resource: r, object: o, version: parseVersion(o.GetResourceVersion()), view: r.Decode(o)}
	o.SetManagedFields(nil) // larger than the rest of the object, and decoded already
	rec.size = codec.Size(o, rec.view)
	return rec
}

// parseVersion parses a resourceVersion. Those of one kind are comparable numbers
// (Kubernetes API concepts, "Resource versions").
func parseVersion(text string) uint64 {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func (rec *record) nameKey() ownedKey {
	key := rec.view.Key()
	return ownedKey{kind: key.Kind, namespace: key.Namespace, name: key.Name}
}

// ownedKeys returns the keys that an object requests. Its uid is among them, so that no other
// object gets it as an id.
func (rec *record) ownedKeys() []ownedKey {
	keys := []ownedKey{rec.nameKey(), {id: rec.view.Metadata.ID}}
	if uid := string(rec.object.GetUID()); uid != rec.view.Metadata.ID {
		keys = append(keys, ownedKey{id: uid})
	}
	return keys
}

// targetReference returns the object's reference to a target; false if it has none.
func (rec *record) targetReference() (reference, bool) {
	name, id := rec.Target(rec.object)
	switch {
	case name != "":
		return reference{namespace: rec.view.Metadata.Namespace, name: name}, true
	case id != "":
		return reference{namespace: rec.view.Metadata.Namespace, id: id}, true
	}
	return reference{}, false
}

// byPriority orders objects that request the same key: the object whose uid it is, then the
// older one. An owner keeps its key, and all replicas agree on it.
func byPriority(key ownedKey) func(a, b *record) int {
	rank := func(rec *record) int {
		if key.id != "" && key.id == string(rec.object.GetUID()) {
			return 0
		}
		return 1
	}
	return func(a, b *record) int {
		return cmp.Or(
			cmp.Compare(rank(a), rank(b)),
			a.object.GetCreationTimestamp().Compare(b.object.GetCreationTimestamp().Time),
			cmp.Compare(a.object.GetUID(), b.object.GetUID()),
		)
	}
}

// upsert stores the state of an object, unless a newer one is cached.
func (c *objectCache) upsert(rec *record) {
	old := c.records[rec.object.GetUID()]
	if old != nil && old.version >= rec.version {
		return
	}
	c.replace(old, rec)
}

// remove removes an object.
func (c *objectCache) remove(uid types.UID) {
	if old := c.records[uid]; old != nil {
		c.replace(old, nil)
	}
}

// replace replaces a record, either of which may be nil, and publishes what that changes in
// the view: of the object, and of those that request the same keys.
func (c *objectCache) replace(old, rec *record) {
	affected := map[*record]bool{}
	touch := func(rec *record) {
		for _, key := range rec.ownedKeys() {
			for _, other := range c.owners[key] {
				affected[other] = true
			}
		}
		if r, ok := rec.targetReference(); ok {
			c.enqueueTargets(r)
		}
		c.enqueueTargets(reference{namespace: rec.view.Metadata.Namespace, name: rec.view.Metadata.Name})
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
		c.publishNamespace(cmp.Or(old, rec).view.Metadata.Namespace)
	}
	c.broadcast()
}

func (c *objectCache) index(rec *record) {
	c.records[rec.object.GetUID()] = rec
	c.kinds[rec.Kind]++
	c.counts[rec.view.Metadata.Namespace]++
	c.sizes[rec.view.Metadata.Namespace] += rec.size
	c.indexTarget(rec, true)
	if r, ok := rec.targetReference(); ok {
		c.references[r]++
	}
	if rec.object.GetDeletionTimestamp() != nil {
		return // a terminating object owns nothing
	}
	for _, key := range rec.ownedKeys() {
		list := append(slices.Clone(c.owners[key]), rec)
		slices.SortFunc(list, byPriority(key))
		c.owners[key] = list
	}
}

func (c *objectCache) unindex(rec *record) {
	delete(c.records, rec.object.GetUID())
	c.kinds[rec.Kind]--
	decrement(c.counts, rec.view.Metadata.Namespace)
	if c.sizes[rec.view.Metadata.Namespace] -= rec.size; c.counts[rec.view.Metadata.Namespace] == 0 {
		delete(c.sizes, rec.view.Metadata.Namespace)
	}
	c.indexTarget(rec, false)
	if r, ok := rec.targetReference(); ok {
		decrement(c.references, r)
	}
	for _, key := range rec.ownedKeys() {
		list := slices.DeleteFunc(slices.Clone(c.owners[key]), func(other *record) bool { return other == rec })
		if len(list) == 0 {
			delete(c.owners, key)
		} else {
			c.owners[key] = list
		}
	}
}

func decrement[K comparable](counts map[K]int, key K) {
	if counts[key]--; counts[key] <= 0 {
		delete(counts, key)
	}
}

// publish recomputes the view of the affected records and publishes the differences:
// deletions first, so that no two objects have the same key at any time.
func (c *objectCache) publish(old, rec *record, affected map[*record]bool) {
	type change struct {
		rec           *record
		before, after *registry.Object
	}
	var changes []change
	for r := range affected {
		if r != rec {
			changes = append(changes, change{r, r.shown, c.viewOf(r)})
		}
	}
	switch {
	case rec != nil && old != nil:
		changes = append(changes, change{rec, old.shown, c.viewOf(rec)})
	case rec != nil:
		changes = append(changes, change{rec, nil, c.viewOf(rec)})
	default:
		changes = append(changes, change{old, old.shown, nil})
	}
	for _, ch := range changes {
		if ch.before != nil && (ch.after == nil || ch.after.Key() != ch.before.Key()) {
			delete(c.shown, ch.before.Key())
			c.feed.Publish(registry.Event{Change: registry.Deleted, Object: *ch.before})
		}
	}
	for _, ch := range changes {
		if ch.rec != old {
			ch.rec.shown = ch.after
			c.enqueue(ch.rec.object.GetUID())
		}
		if ch.after == nil {
			continue
		}
		c.shown[ch.after.Key()] = ch.rec
		switch {
		case ch.before == nil || ch.before.Key() != ch.after.Key():
			c.feed.Publish(registry.Event{Change: registry.Added, Object: *ch.after})
		case !reflect.DeepEqual(*ch.before, *ch.after):
			c.feed.Publish(registry.Event{Change: registry.Modified, Object: *ch.after})
		}
	}
}

// viewOf returns a record as the registry shows it: nil if another object owns its name. An
// object whose id is taken gets its uid as its id.
func (c *objectCache) viewOf(rec *record) *registry.Object {
	if owners := c.owners[rec.nameKey()]; len(owners) == 0 || owners[0] != rec {
		return nil
	}
	view := rec.view
	view.Metadata.ID = c.idOf(rec)
	return &view
}

// idOf returns the id of an object, which need not be cached yet.
func (c *objectCache) idOf(rec *record) string {
	key := ownedKey{id: rec.view.Metadata.ID}
	uid := rec.object.GetUID()
	for _, other := range c.owners[key] {
		if other.object.GetUID() == uid {
			break
		}
		if byPriority(key)(other, rec) < 0 {
			return string(uid)
		}
	}
	return rec.view.Metadata.ID
}

// list returns the objects of a kind that the registry shows, ordered by namespace and name.
func (c *objectCache) list(kind registry.Kind, namespace string) []registry.Object {
	found := []registry.Object{}
	if kind == registry.Namespace {
		for _, n := range c.namespaces {
			if n.shown && namespace == "" {
				found = append(found, n.view())
			}
		}
	}
	for key, rec := range c.shown {
		if key.Kind == kind && (namespace == "" || key.Namespace == namespace) {
			found = append(found, rec.shown.Clone())
		}
	}
	sortByKey(found)
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
func (c *objectCache) enqueue(uid types.UID) {
	if c.enqueueStatus != nil {
		c.enqueueStatus(uid)
	}
}

// enqueueTargets queues the targets of a reference for a status update.
func (c *objectCache) enqueueTargets(r reference) {
	key := ownedKey{kind: registry.DeploymentTarget, namespace: r.namespace, name: r.name}
	if r.id != "" {
		key = ownedKey{id: r.id}
	}
	for _, rec := range c.owners[key] {
		c.enqueue(rec.object.GetUID())
	}
}
