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

// TargetNamespace is the Kubernetes namespace that a target points at; home is the
// one that drey runs in.
func TargetNamespace(target Object, home string) string { return targetNamespace(target, home) }

// targetNamespace is the Kubernetes namespace that a kept target points at.
// Rules have read the spec before it was kept; what cannot be read points
// nowhere a workload can be.
func targetNamespace(o Object, home string) string {
	var spec TargetSpec
	if err := jsonv2.Unmarshal(o.Spec, &spec); err != nil || spec.Kubernetes == nil {
		return ""
	}
	return cmp.Or(spec.Kubernetes.Namespace, home)
}
