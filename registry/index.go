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

// Index answers, from memory and in constant time, which targets a Kubernetes
// namespace has. A store's watch feeds it; nobody else writes to it.
type Index struct {
	home   string // what an unset spec.kubernetes.namespace means
	synced atomic.Bool

	mu          sync.RWMutex
	byNamespace map[string][]Target // lists are replaced, never changed: readers keep them
	targets     int
	registered  map[Key]Registered // Deployments and SessionClusters
	keyByID     map[string]Key     // of these
	names       names              // of platform namespaces
}

// NewIndex returns an empty index. home is the Kubernetes namespace that drey
// runs in, where targets without a namespace point.
func NewIndex(home string) *Index {
	return &Index{home: home, byNamespace: make(map[string][]Target), registered: make(map[Key]Registered), keyByID: make(map[string]Key), names: make(names)}
}

// Follow fills the index from the store and keeps it up to date until ctx
// ends. When it returns nil, the index is [Index.Synced]. A [Registry] that is
// given the index does the same, with one reading of the store for both.
func (x *Index) Follow(ctx context.Context, store Store) error {
	for _, kind := range indexed {
		if err := store.Watch(ctx, kind, x.observe); err != nil {
			return err
		}
	}
	x.synced.Store(true)
	return nil
}

// indexed are the kinds that an index keeps something of.
var indexed = []Kind{DeploymentTarget, Deployment, SessionCluster}

// Synced says whether the index has seen all that the store held when it began
// to follow. Before that, a missing target proves nothing.
func (x *Index) Synced() bool { return x.synced.Load() }

// Targets returns the targets of a Kubernetes namespace, ordered by platform
// namespace and name. The list is shared: do not change it.
func (x *Index) Targets(namespace string) []Target {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.byNamespace[namespace]
}

// Namespaces returns the Kubernetes namespaces that have targets, in no order.
func (x *Index) Namespaces() []string {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return slices.Collect(maps.Keys(x.byNamespace))
}

// Len is the number of targets.
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

// observeTarget relies on the spec of a target never changing: where it points now
// is where it has been listed.
func (x *Index) observeTarget(e Event) {
	namespace := targetNamespace(e.Object, x.home)
	m := e.Object.Metadata
	t := Target{PlatformNamespace: x.names.one(m.Namespace), Name: m.Name, ID: m.ID} // few namespaces have many targets
	before := x.byNamespace[namespace]
	at, there := slices.BinarySearchFunc(before, t, func(a, b Target) int {
		return cmp.Or(cmp.Compare(a.PlatformNamespace, b.PlatformNamespace), cmp.Compare(a.Name, b.Name))
	})
	after := make([]Target, 0, len(before)+1)
	after = append(after, before[:at]...)
	if there {
		before = before[1:] // what was at this place is left out
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

// pointsAt tells whether a target, known by its name or its id, points at a
// Kubernetes namespace.
func (x *Index) pointsAt(platformNamespace, name, id, kubernetesNamespace string) bool {
	return slices.ContainsFunc(x.byNamespace[kubernetesNamespace], func(t Target) bool {
		return t.PlatformNamespace == platformNamespace && (name != "" && t.Name == name || name == "" && t.ID == id)
	})
}

// Registered is a [Deployment] or [SessionCluster] of the registry, as
// admission sees it.
type Registered struct {
	Kind              Kind
	PlatformNamespace string
	Name              string
	DisplayName       string // empty if it has none
	ID                string

	targetName, targetID string // where it runs, by one or the other; both empty if it does not say
}

// Label is the value of the label that names it: its name or, if that was made
// from free text, as older clients send it, what that text makes.
func (r Registered) Label() string { return LabelValue(r.Name) }

// ByID returns the Deployment or SessionCluster with an id, wherever it is.
func (x *Index) ByID(id string) (Registered, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	key, ok := x.keyByID[id]
	if !ok {
		return Registered{}, false
	}
	return x.registered[key], true
}

// Linked returns the Deployment or SessionCluster, as kind says, of a platform
// namespace that a workload in a Kubernetes namespace is a run of: the one whose
// id or name is stated or, if nothing is, the one of its name. One that is
// registered for another Kubernetes namespace is not it.
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

// runsIn tells whether a registered object runs in a Kubernetes namespace. One
// that names no target may run wherever it is stated.
func (x *Index) runsIn(r Registered, kubernetesNamespace string, stated bool) bool {
	if r.targetName == "" && r.targetID == "" {
		return stated
	}
	return x.pointsAt(r.PlatformNamespace, r.targetName, r.targetID, kubernetesNamespace)
}

// observeRegistered keeps what [Index.Linked] answers from.
func (x *Index) observeRegistered(e Event) {
	key := e.Object.Key()
	if id := x.registered[key].ID; x.keyByID[id] == key { // else another has it by now
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
	_ = jsonv2.Unmarshal(e.Object.Spec, &spec) // it was read when it was kept
	x.registered[key] = Registered{
		Kind: key.Kind, PlatformNamespace: key.Namespace, Name: key.Name, DisplayName: m.DisplayName, ID: m.ID, targetName: spec.TargetName, targetID: spec.TargetID,
	}
	x.keyByID[m.ID] = key
}
