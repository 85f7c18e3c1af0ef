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

// mirror is what the API server has told of the objects, and what the registry
// shows of them. The two differ: an object whose name in REST belongs to an older
// one is not shown, and neither is one that is being deleted.
//
// Everything in it happens in the order of the API server's watches, of which
// there is one for each kind.
type mirror struct {
	feed *registry.Feed
	note func(types.UID) // an object whose status may have to change; nil: nobody cares; under mu

	home   string                                                 // what a target without a namespace means
	serves func(namespace string, labels map[string]string) error // nil: every namespace is served

	mu         sync.RWMutex
	records    map[types.UID]*record
	shown      map[registry.Key]*record
	claims     map[claim][]*record // best first
	references map[reference]int   // how many objects name a target so
	namespaces map[string]*namespace
	pointing   map[string]map[types.UID]bool // targets, by the Kubernetes namespace that they point at
	inside     map[string]int                // how many objects are in a Kubernetes namespace
	sizes      map[string]int64              // record.size of all objects in a Kubernetes namespace
	seen       map[registry.Kind]uint64
	unseen     unseen
	changed    chan struct{} // closed, and replaced, with every change
}

// record is one object of the cluster. It never changes.
type record struct {
	*codec.Resource
	object  codec.Object
	version uint64          // the full resourceVersion
	view    registry.Object // with the id that it asks for
	size    int64           // in bytes
	shown   *registry.Object
}

// claim is something that one object alone may have: a name in its platform
// namespace, or an id.
type claim struct {
	kind            registry.Kind // of a name
	namespace, name string
	id              string
}

// reference is how an object names a target of its namespace: by the name or the
// id.
type reference struct{ namespace, name, id string }

func newMirror() *mirror {
	return &mirror{
		feed: &registry.Feed{}, records: map[types.UID]*record{}, shown: map[registry.Key]*record{}, claims: map[claim][]*record{},
		references: map[reference]int{}, namespaces: map[string]*namespace{}, pointing: map[string]map[types.UID]bool{}, inside: map[string]int{}, sizes: map[string]int64{},
		seen: map[registry.Kind]uint64{}, changed: make(chan struct{}),
	}
}

func newRecord(r *codec.Resource, o codec.Object) *record {
	rec := &record{Resource: r, object: o, version: parseVersion(o.GetResourceVersion()), view: r.Decode(o)}
	o.SetManagedFields(nil) // they are larger than the object, and have been read
	rec.size = codec.Size(o, rec.view)
	return rec
}

// parseVersion reads a resourceVersion. Those of one kind are numbers that can be
// compared (Kubernetes' API concepts, "Resource versions").
func parseVersion(text string) uint64 {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func (rec *record) nameClaim() claim {
	key := rec.view.Key()
	return claim{kind: key.Kind, namespace: key.Namespace, name: key.Name}
}

// claimed is all that an object claims. Its uid is nobody else's id.
func (rec *record) claimed() []claim {
	claims := []claim{rec.nameClaim(), {id: rec.view.Metadata.ID}}
	if uid := string(rec.object.GetUID()); uid != rec.view.Metadata.ID {
		claims = append(claims, claim{id: uid})
	}
	return claims
}

// refersTo is how the object names a target, if it does.
func (rec *record) refersTo() (reference, bool) {
	name, id := rec.Target(rec.object)
	switch {
	case name != "":
		return reference{namespace: rec.view.Metadata.Namespace, name: name}, true
	case id != "":
		return reference{namespace: rec.view.Metadata.Namespace, id: id}, true
	}
	return reference{}, false
}

// before orders those who claim the same: whose uid it is comes first, then the
// older. So what has a name or an id keeps it, and all replicas agree.
func before(c claim) func(a, b *record) int {
	natural := func(rec *record) int {
		if c.id != "" && c.id == string(rec.object.GetUID()) {
			return 0
		}
		return 1
	}
	return func(a, b *record) int {
		return cmp.Or(
			cmp.Compare(natural(a), natural(b)),
			a.object.GetCreationTimestamp().Compare(b.object.GetCreationTimestamp().Time),
			cmp.Compare(a.object.GetUID(), b.object.GetUID()),
		)
	}
}

// put takes in the present state of an object.
func (m *mirror) put(rec *record) {
	uid := rec.object.GetUID()
	old := m.records[uid]
	if old != nil && old.version >= rec.version {
		return
	}
	m.replace(old, rec)
}

// remove takes in that an object is gone.
func (m *mirror) remove(uid types.UID) {
	if old := m.records[uid]; old != nil {
		m.replace(old, nil)
	}
}

// replace puts one record in the place of another, either of which may be nil,
// and tells the watchers what that changes: of the object, and of those that
// claim the same.
func (m *mirror) replace(old, rec *record) {
	affected := map[*record]bool{}
	touched := func(rec *record) {
		for _, c := range rec.claimed() {
			for _, other := range m.claims[c] {
				affected[other] = true
			}
		}
		if r, ok := rec.refersTo(); ok {
			m.noteTargets(r)
		}
		m.noteTargets(reference{namespace: rec.view.Metadata.Namespace, name: rec.view.Metadata.Name})
	}
	if old != nil {
		touched(old)
		delete(affected, old)
		m.unlist(old)
	}
	if rec != nil {
		m.list(rec)
		touched(rec)
	}
	m.publish(old, rec, affected)
	if old != nil && rec == nil || old == nil && rec != nil {
		m.publishNamespace(cmp.Or(old, rec).view.Metadata.Namespace)
	}
	m.wake()
}

func (m *mirror) list(rec *record) {
	m.records[rec.object.GetUID()] = rec
	m.inside[rec.view.Metadata.Namespace]++
	m.sizes[rec.view.Metadata.Namespace] += rec.size
	m.point(rec, true)
	if r, ok := rec.refersTo(); ok {
		m.references[r]++
	}
	if rec.object.GetDeletionTimestamp() != nil {
		return // it claims nothing any more
	}
	for _, c := range rec.claimed() {
		list := append(slices.Clone(m.claims[c]), rec)
		slices.SortFunc(list, before(c))
		m.claims[c] = list
	}
}

func (m *mirror) unlist(rec *record) {
	delete(m.records, rec.object.GetUID())
	decrement(m.inside, rec.view.Metadata.Namespace)
	if m.sizes[rec.view.Metadata.Namespace] -= rec.size; m.inside[rec.view.Metadata.Namespace] == 0 {
		delete(m.sizes, rec.view.Metadata.Namespace)
	}
	m.point(rec, false)
	if r, ok := rec.refersTo(); ok {
		decrement(m.references, r)
	}
	for _, c := range rec.claimed() {
		list := slices.DeleteFunc(slices.Clone(m.claims[c]), func(other *record) bool { return other == rec })
		if len(list) == 0 {
			delete(m.claims, c)
		} else {
			m.claims[c] = list
		}
	}
}

func decrement[K comparable](counts map[K]int, key K) {
	if counts[key]--; counts[key] <= 0 {
		delete(counts, key)
	}
}

// publish finds out what the registry shows of the affected records now, and
// tells the watchers what is different: first what is not shown any more, so
// that no two objects ever have the same key.
func (m *mirror) publish(old, rec *record, affected map[*record]bool) {
	type change struct {
		rec           *record
		before, after *registry.Object
	}
	var changes []change
	for r := range affected {
		if r != rec {
			changes = append(changes, change{r, r.shown, m.show(r)})
		}
	}
	switch {
	case rec != nil && old != nil:
		changes = append(changes, change{rec, old.shown, m.show(rec)})
	case rec != nil:
		changes = append(changes, change{rec, nil, m.show(rec)})
	default:
		changes = append(changes, change{old, old.shown, nil})
	}
	for _, c := range changes {
		if c.before != nil && (c.after == nil || c.after.Key() != c.before.Key()) {
			delete(m.shown, c.before.Key())
			m.feed.Publish(registry.Event{Change: registry.Deleted, Object: *c.before})
		}
	}
	for _, c := range changes {
		if c.rec != old {
			c.rec.shown = c.after
			m.noteStatus(c.rec)
		}
		if c.after == nil {
			continue
		}
		m.shown[c.after.Key()] = c.rec
		switch {
		case c.before == nil || c.before.Key() != c.after.Key():
			m.feed.Publish(registry.Event{Change: registry.Added, Object: *c.after})
		case !reflect.DeepEqual(*c.before, *c.after):
			m.feed.Publish(registry.Event{Change: registry.Modified, Object: *c.after})
		}
	}
}

// show is what the registry shows of a record: nothing, if an older object has
// the name. An object whose id is taken has its uid for one.
func (m *mirror) show(rec *record) *registry.Object {
	if first := m.claims[rec.nameClaim()]; len(first) == 0 || first[0] != rec {
		return nil
	}
	view := rec.view
	view.Metadata.ID = m.idOf(rec)
	return &view
}

// idOf is the id of an object that may be in the mirror or on its way there.
func (m *mirror) idOf(rec *record) string {
	c := claim{id: rec.view.Metadata.ID}
	uid := rec.object.GetUID()
	for _, other := range m.claims[c] {
		if other.object.GetUID() == uid {
			break
		}
		if before(c)(other, rec) < 0 {
			return string(uid)
		}
	}
	return rec.view.Metadata.ID
}

// wake wakes all who wait for a change.
func (m *mirror) wake() {
	close(m.changed)
	m.changed = make(chan struct{})
}

func (m *mirror) noteStatus(rec *record) { m.noteUID(rec.object.GetUID()) }

func (m *mirror) noteUID(uid types.UID) {
	if m.note != nil {
		m.note(uid)
	}
}

// noteTargets notes the targets that a reference means.
func (m *mirror) noteTargets(r reference) {
	c := claim{kind: registry.DeploymentTarget, namespace: r.namespace, name: r.name}
	if r.id != "" {
		c = claim{id: r.id}
	}
	for _, rec := range m.claims[c] {
		m.noteStatus(rec)
	}
}

// present lists what the mirror shows.
func (m *mirror) present(kind registry.Kind, namespace string) []registry.Object {
	found := []registry.Object{}
	if kind == registry.Namespace {
		for _, n := range m.namespaces {
			if n.shown && namespace == "" {
				found = append(found, n.view())
			}
		}
	}
	for key, rec := range m.shown {
		if key.Kind == kind && (namespace == "" || key.Namespace == namespace) {
			found = append(found, rec.shown.Clone())
		}
	}
	inOrder(found)
	return found
}

func inOrder(list []registry.Object) {
	slices.SortFunc(list, func(a, b registry.Object) int {
		return cmp.Or(cmp.Compare(a.Metadata.Namespace, b.Metadata.Namespace), cmp.Compare(a.Metadata.Name, b.Metadata.Name))
	})
}
