package registry

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"sync"
	"sync/atomic"
)

// Index answers, from memory and in constant time, which targets a Kubernetes
// namespace has. A store's watch feeds it; nobody else writes to it.
type Index struct {
	home   string // what an unset spec.kubernetes.namespace means
	synced atomic.Bool

	mu          sync.RWMutex
	byNamespace map[string][]Target // lists are replaced, never changed: readers keep them
	pointsAt    map[Key]string      // the Kubernetes namespace under which a target is listed
	targetNames map[string]string   // by their ids: older clients refer to targets so
	registered  map[Key]Registered  // Deployments and SessionClusters
	keyByID     map[string]Key      // of these
}

// NewIndex returns an empty index. home is the Kubernetes namespace that drey
// runs in, where targets without a namespace point.
func NewIndex(home string) *Index {
	return &Index{
		home: home, byNamespace: make(map[string][]Target), pointsAt: make(map[Key]string), targetNames: make(map[string]string),
		registered: make(map[Key]Registered), keyByID: make(map[string]Key),
	}
}

// Follow fills the index from the store and keeps it up to date until ctx
// ends. When it returns nil, the index is [Index.Synced].
func (x *Index) Follow(ctx context.Context, store Store) error {
	if err := store.Watch(ctx, DeploymentTarget, x.observe); err != nil {
		return err
	}
	for _, kind := range []Kind{Deployment, SessionCluster} {
		if err := store.Watch(ctx, kind, x.observeRegistered); err != nil {
			return err
		}
	}
	x.synced.Store(true)
	return nil
}

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

// Len is the number of targets.
func (x *Index) Len() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.pointsAt)
}

func (x *Index) observe(e Event) {
	x.mu.Lock()
	defer x.mu.Unlock()
	key := e.Object.Key()
	x.remove(key)
	delete(x.targetNames, e.Object.Metadata.ID)
	if e.Change != Deleted {
		x.add(key, e.Object)
	}
}

func (x *Index) add(key Key, o Object) {
	namespace := targetNamespace(o, x.home)
	t := Target{PlatformNamespace: key.Namespace, Name: key.Name, ID: o.Metadata.ID}
	list := append(slices.Clone(x.byNamespace[namespace]), t)
	slices.SortFunc(list, func(a, b Target) int {
		return cmp.Or(cmp.Compare(a.PlatformNamespace, b.PlatformNamespace), cmp.Compare(a.Name, b.Name))
	})
	x.byNamespace[namespace] = list
	x.pointsAt[key] = namespace
	x.targetNames[t.ID] = key.Name
}

func (x *Index) remove(key Key) {
	namespace, ok := x.pointsAt[key]
	if !ok {
		return
	}
	delete(x.pointsAt, key)
	list := slices.DeleteFunc(slices.Clone(x.byNamespace[namespace]), func(t Target) bool {
		return t.PlatformNamespace == key.Namespace && t.Name == key.Name
	})
	if len(list) == 0 {
		delete(x.byNamespace, namespace)
		return
	}
	x.byNamespace[namespace] = list
}

// TargetNamespace is the Kubernetes namespace that a target points at; home is the
// one that drey runs in.
func TargetNamespace(target Object, home string) string { return targetNamespace(target, home) }

// targetNamespace is the Kubernetes namespace that a kept target points at.
// Rules have read the spec before it was kept; what cannot be read points
// nowhere a workload can be.
func targetNamespace(o Object, home string) string {
	var spec TargetSpec
	if err := json.Unmarshal(o.Spec, &spec); err != nil || spec.Kubernetes == nil {
		return ""
	}
	return cmp.Or(spec.Kubernetes.Namespace, home)
}
