// Package inventory is the read model of the Flink workloads in the cluster: their namespaces,
// platform namespaces, targets and resource requests. It is pure: a feeder calls [Inventory.Put]
// and [Inventory.Delete], and readers make no API calls.
package inventory

import (
	"cmp"
	"strings"
	"sync"
	"time"

	"drey.dev/drey/feed"
)

// Workload is one Flink cluster, or one job that has an object of its own, in one Kubernetes
// namespace. Unknown fields are empty.
type Workload struct {
	Namespace         string `json:"namespace"`                   // Kubernetes namespace
	PlatformNamespace string `json:"platformNamespace,omitempty"` // empty: misplaced, or not labeled yet
	// Target is the DeploymentTarget that admits it. Empty: there is none, or several targets
	// of its platform namespace point at the namespace and nothing selects one.
	Target string `json:"target,omitempty"`

	Owner  Owner  `json:"owner"`            // root owner
	Flavor string `json:"flavor,omitempty"` // see flink.Flavor
	Mode   string `json:"mode,omitempty"`   // application or session
	State  string `json:"state,omitempty"`  // of its root owner, see runstate.State

	// Kind is Deployment or SessionCluster, with the name and id of its labels. Registered
	// reports that the registry has the object.
	Kind       string `json:"kind,omitempty"`
	Name       string `json:"name,omitempty"`
	ID         string `json:"id,omitempty"`
	Registered bool   `json:"registered,omitzero"`
	JobID      string `json:"jobId,omitempty"`

	Pods      int        `json:"pods"` // that are not terminated
	PodsReady int        `json:"podsReady"`
	Requests  Resources  `json:"requests"`      // of its pods
	Use       *Resources `json:"use,omitempty"` // nil without metrics.k8s.io
	Since     time.Time  `json:"since"`         // creation of its root owner, else of its oldest pod

	// ReadersNamespace is the platform namespace whose readers may see a workload without one.
	ReadersNamespace string `json:"-"`

	Misplaced         bool     `json:"misplaced,omitzero"`          // its namespace has no target
	MissingLabels     []string `json:"missingLabels,omitempty"`     // keys that one of its pods lacks
	ConflictingLabels []string `json:"conflictingLabels,omitempty"` // keys with different values on its pods, or another object's
}

// Owner identifies the root owner of a workload.
type Owner struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
	UID  string `json:"uid,omitempty"`
}

// Resources are amounts of CPU and memory.
type Resources struct {
	MilliCPU int64 `json:"milliCPU"`
	Memory   int64 `json:"memoryBytes"`
}

// Plus returns the sum of two amounts.
func (r Resources) Plus(o Resources) Resources {
	return Resources{r.MilliCPU + o.MilliCPU, r.Memory + o.Memory}
}

// Key identifies a workload in the inventory: NAMESPACE/KIND/NAME of the root owner.
func (w Workload) Key() string { return w.Namespace + "/" + w.Owner.Kind + "/" + w.Owner.Name }

// Readers returns the platform namespace whose readers may see the workload. Empty: only readers
// of all platform namespaces.
func (w *Workload) Readers() string { return cmp.Or(w.PlatformNamespace, w.ReadersNamespace) }

// Healthy reports whether nothing is wrong with the labels and the place of the workload.
func (w *Workload) Healthy() bool {
	return !w.Misplaced && len(w.MissingLabels) == 0 && len(w.ConflictingLabels) == 0
}

// matches reports whether one of the fields that people search by contains a text, without
// case.
func (w *Workload) matches(text string) bool {
	for _, field := range [...]string{w.Name, w.Owner.Name, w.Namespace, w.PlatformNamespace, w.Target, w.Owner.Kind, w.Flavor, w.Mode, w.State, w.ID, w.JobID} {
		if strings.Contains(strings.ToLower(field), text) {
			return true
		}
	}
	return false
}

// Inventory is the table of workloads. It is safe for concurrent use.
type Inventory struct {
	mu        sync.RWMutex
	workloads map[string]*entry // by key
	synced    bool
	pods      func(Workload) []Pod // nil: unknown
	changes   feed.Feed[string, Workload]
}

// entry is a workload with its key. It does not change, so that readers share it.
type entry struct {
	key string
	Workload
}

// Change is a changed or deleted workload.
type Change = feed.Change[Workload]

// Subscription receives changes of workloads.
type Subscription = feed.Subscription[string, Workload]

// New returns an empty inventory.
func New() *Inventory { return &Inventory{workloads: make(map[string]*entry)} }

// Put adds or replaces a workload. The inventory keeps its slices: do not modify them.
func (v *Inventory) Put(w Workload) {
	e := &entry{w.Key(), w}
	v.mu.Lock()
	v.workloads[e.key] = e
	v.mu.Unlock()
	v.changes.Publish(e.key, Change{Value: w})
}

// Delete removes a workload by its key.
func (v *Inventory) Delete(key string) {
	v.mu.Lock()
	last, ok := v.workloads[key]
	delete(v.workloads, key)
	v.mu.Unlock()
	if ok {
		v.changes.Publish(key, Change{Deleted: true, Value: last.Workload})
	}
}

// SetSynced records that the inventory has the initial lists of the cluster.
func (v *Inventory) SetSynced() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.synced = true
}

// Synced reports whether the inventory has the initial lists of the cluster.
func (v *Inventory) Synced() bool {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.synced
}

// Len returns the number of workloads.
func (v *Inventory) Len() int {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return len(v.workloads)
}

// Get returns a workload by its key.
func (v *Inventory) Get(key string) (Workload, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	e, ok := v.workloads[key]
	if !ok {
		return Workload{}, false
	}
	return e.Workload, true
}

// Subscribe returns a subscription to changes, which include workloads that the reader may not
// see.
func (v *Inventory) Subscribe() *Subscription { return v.changes.Subscribe() }
