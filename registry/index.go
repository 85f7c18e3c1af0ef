package registry

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	jsonv2 "github.com/go-json-experiment/json"
)

// Index is a cache of targets by Kubernetes namespace, and of Deployments and SessionClusters,
// with lookups in constant time. A watch of the store feeds it.
type Index struct {
	ownNamespace string // default of spec.kubernetes.namespace
	synced       atomic.Bool

	mu          sync.RWMutex
	byNamespace map[string][]Target // slices are immutable: readers share them
	targets     int
	registered  map[Key]Registered // Deployments and SessionClusters
	keyByID     map[string]Key     // of these
	names       names              // of platform namespaces
}

// NewIndex returns an empty index. ownNamespace is the Kubernetes namespace that drey runs in,
// where targets without a namespace point.
func NewIndex(ownNamespace string) *Index {
	return &Index{ownNamespace: ownNamespace, byNamespace: make(map[string][]Target), registered: make(map[Key]Registered), keyByID: make(map[string]Key), names: make(names)}
}

// Follow fills the index from a store and keeps it up to date until ctx ends. When it returns
// nil, the index is [Index.Synced]. [Options.Index] makes a [Registry] do the same.
func (x *Index) Follow(ctx context.Context, store Store) error {
	for _, kind := range indexed {
		if err := store.Watch(ctx, kind, x.observe); err != nil {
			return err
		}
	}
	x.synced.Store(true)
	return nil
}

// indexed are the kinds that an index watches.
var indexed = []Kind{DeploymentTarget, Deployment, SessionCluster}

// Synced reports whether the index has the initial list of the store. Before that, a target may
// be missing.
func (x *Index) Synced() bool { return x.synced.Load() }

// Targets returns the targets of a Kubernetes namespace, ordered by platform
// namespace and name. The slice is shared: do not modify it.
func (x *Index) Targets(namespace string) []Target {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.byNamespace[namespace]
}

// Namespaces returns the Kubernetes namespaces with targets, unordered.
func (x *Index) Namespaces() []string {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return slices.Collect(maps.Keys(x.byNamespace))
}

// Len returns the number of targets.
func (x *Index) Len() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.targets
}

func (x *Index) observe(e Event) {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch e.Object.Kind {
	case DeploymentTarget:
		x.observeTarget(e)
	case Deployment, SessionCluster:
		x.observeRegistered(e)
	}
}

// observeTarget relies on immutable specs: a target never moves to another Kubernetes namespace.
func (x *Index) observeTarget(e Event) {
	namespace := targetNamespace(e.Object, x.ownNamespace)
	m := e.Object.Metadata
	t := Target{PlatformNamespace: x.names.intern(m.Namespace), Name: m.Name, id: newIDKey(m.ID)}
	before := x.byNamespace[namespace]
	at, there := slices.BinarySearchFunc(before, t, func(a, b Target) int {
		return cmp.Or(cmp.Compare(a.PlatformNamespace, b.PlatformNamespace), cmp.Compare(a.Name, b.Name))
	})
	if at == len(before) && at >= appendedFrom && e.Change != Deleted { // readers of before do not see the element
		x.byNamespace[namespace] = append(before, t)
		x.targets++
		return
	}
	after := make([]Target, 0, len(before)+1)
	after = append(after, before[:at]...)
	if there {
		before = before[1:]
		x.targets--
	}
	if e.Change != Deleted {
		after = append(after, t)
		x.targets++
	}
	if after = append(after, before[at:]...); len(after) == 0 {
		delete(x.byNamespace, namespace)
		return
	}
	x.byNamespace[namespace] = after
}

// appendedFrom is the number of targets of a namespace from which a slice grows with spare capacity, so
// that the initial list of a store, which is ordered, takes linear time.
const appendedFrom = 64

// pointsAt reports whether a target, by its name or its id, points at a Kubernetes namespace.
func (x *Index) pointsAt(platformNamespace, name, id, kubernetesNamespace string) bool {
	wanted := newIDKey(id)
	return slices.ContainsFunc(x.byNamespace[kubernetesNamespace], func(t Target) bool {
		return t.PlatformNamespace == platformNamespace && (name != "" && t.Name == name || name == "" && t.id == wanted)
	})
}

// Registered is a [Deployment] or [SessionCluster] as admission uses it.
type Registered struct {
	Kind              Kind
	PlatformNamespace string
	Name              string
	DisplayName       string // empty if it has none
	ID                string

	targetName, targetID string // its reference to a target; both empty: none
}

// RefersTo reports whether the object refers to a target in its platform namespace.
func (r Registered) RefersTo(t Target) bool {
	return r.PlatformNamespace == t.PlatformNamespace && (r.targetName != "" && r.targetName == t.Name || r.targetName == "" && newIDKey(r.targetID) == t.id)
}

// Label returns the value of the label with its name.
func (r Registered) Label() string { return LabelValue(r.Name) }

// ByID returns the Deployment or SessionCluster with an id, of any platform namespace.
func (x *Index) ByID(id string) (Registered, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	key, ok := x.keyByID[id]
	if !ok {
		return Registered{}, false
	}
	return x.registered[key], true
}

// Linked returns the Deployment or SessionCluster that a workload in a Kubernetes namespace runs:
// the one with the stated id or name or, if none is stated, the one with the workload's name.
// One whose target points at another Kubernetes namespace does not match.
func (x *Index) Linked(kind Kind, platformNamespace, kubernetesNamespace, stated, name string) (Registered, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if len(x.registered) == 0 {
		return Registered{}, false
	}
	key := Key{kind, platformNamespace, stated}
	if byID, ok := x.keyByID[stated]; ok && byID.Kind == kind && byID.Namespace == platformNamespace {
		key = byID
	}
	if stated == "" {
		key.Name = LabelValue(name)
	}
	r, ok := x.registered[key]
	if !ok || !x.runsIn(r, kubernetesNamespace, stated != "") {
		return Registered{}, false
	}
	return r, true
}

// runsIn reports whether an object runs in a Kubernetes namespace. One without a target runs in
// any, for workloads that state it.
func (x *Index) runsIn(r Registered, kubernetesNamespace string, stated bool) bool {
	if r.targetName == "" && r.targetID == "" {
		return stated
	}
	return x.pointsAt(r.PlatformNamespace, r.targetName, r.targetID, kubernetesNamespace)
}

// observeRegistered maintains the maps of [Index.Linked].
func (x *Index) observeRegistered(e Event) {
	key := e.Object.Key()
	if id := x.registered[key].ID; x.keyByID[id] == key { // else another object has the id
		delete(x.keyByID, id)
	}
	delete(x.registered, key)
	if e.Change == Deleted {
		return
	}
	m := e.Object.Metadata
	var spec struct {
		TargetName string `json:"deploymentTargetName"`
		TargetID   string `json:"deploymentTargetId"`
	}
	_ = jsonv2.Unmarshal(e.Object.Spec, &spec) // validated when it was stored
	x.registered[key] = Registered{
		Kind: key.Kind, PlatformNamespace: key.Namespace, Name: key.Name, DisplayName: m.DisplayName, ID: m.ID, targetName: spec.TargetName, targetID: spec.TargetID,
	}
	x.keyByID[m.ID] = key
}
