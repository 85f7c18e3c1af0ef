package verdict

import (
	"drey.dev/drey/registry"
	"drey.dev/drey/webhook/flink"
)

// State is the registry and cluster state that a decision depends on. All methods read
// memory. [Caches] implements it.
type State interface {
	Registry
	Workloads

	// HadTarget reports whether drey has recorded that a Kubernetes namespace has or had a
	// target.
	HadTarget(namespace string) bool
}

// Registry is the registry in memory. *registry.Index implements it.
type Registry interface {
	// Targets returns the targets of a Kubernetes namespace, ordered by platform namespace.
	// The caller must not change the slice.
	Targets(namespace string) []registry.Target

	// ByID returns the registered Deployment or SessionCluster with an id.
	ByID(id string) (registry.Registered, bool)

	// Linked returns the registered object that a workload in a Kubernetes namespace is a run
	// of: the one with the stated id or name or, if stated is empty, the one with the name.
	Linked(kind registry.Kind, platformNamespace, kubernetesNamespace, stated, name string) (registry.Registered, bool)
}

// Workloads are the Flink workloads of the cluster in memory.
type Workloads interface {
	// HasUID reports whether a Flink workload in the cluster has a UID.
	HasUID(uid string) bool

	// Cluster returns the Flink cluster with a name, in the form of a label value, in a
	// namespace. It is read from the workload of its JobManager.
	Cluster(namespace, name string) (flink.Cluster, bool)
}

// Caches is the [State] of a registry and, if there is one, of a cluster.
type Caches struct {
	Registry
	Running    Workloads                   // nil without a cluster
	Registered func(namespace string) bool // reports whether a namespace has or had a target; nil without a cluster
}

// HadTarget implements State.
func (c Caches) HadTarget(namespace string) bool {
	return c.Registered != nil && c.Registered(namespace)
}

// HasUID implements State.
func (c Caches) HasUID(uid string) bool { return c.Running != nil && c.Running.HasUID(uid) }

// Cluster implements State.
func (c Caches) Cluster(namespace, name string) (flink.Cluster, bool) {
	if c.Running == nil {
		return flink.Cluster{}, false
	}
	return c.Running.Cluster(namespace, name)
}
