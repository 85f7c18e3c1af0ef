package kubestore

import (
	"hash/maphash"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"drey.dev/drey/registry/kubestore/internal/codec"
	v1 "drey.dev/drey/registry/kubestore/v1"
)

// statusFacts are the parts of a status that follow from the registry, without times. The cache keeps
// the hash of them, and a status that is to be written is read first.
type statusFacts struct {
	observed          bool // observedGeneration is the generation
	id, name          string
	references        count // of a target
	ready, referenced conditionFacts
}

// observedFacts are the parts of a status that depend on workloads.
type observedFacts struct {
	state           string
	workloads, pods count
}

// conditionFacts are a condition without its type and times.
type conditionFacts struct {
	status          metav1.ConditionStatus
	reason, message string
	observed        bool // observedGeneration is the generation
}

// count is an optional number of a status.
type count struct {
	n  int32
	ok bool
}

var factsSeed = maphash.MakeSeed()

func (f statusFacts) sum() uint64   { return maphash.Comparable(factsSeed, f) }
func (f observedFacts) sum() uint32 { return uint32(maphash.Comparable(factsSeed, f) >> 32) }

// presentFacts returns the facts of the status of an object.
func presentFacts(r *codec.Resource, o codec.Object) (f statusFacts, observed observedFacts) {
	s := r.Status(o)
	condition := func(name string) conditionFacts {
		c := meta.FindStatusCondition(s.Conditions, name)
		if c == nil {
			return conditionFacts{}
		}
		return conditionFacts{c.Status, c.Reason, c.Message, c.ObservedGeneration == o.GetGeneration()}
	}
	f = statusFacts{observed: s.ObservedGeneration == o.GetGeneration(), id: s.ID, name: s.Name, ready: condition(v1.Ready)}
	if state := workloadState(o); state != nil {
		observed.state = *state
	}
	if t, ok := o.(*v1.DeploymentTarget); ok {
		f.references, f.referenced = countOf(t.Status.References), condition(v1.Referenced)
		observed.workloads, observed.pods = countOf(t.Status.Workloads), countOf(t.Status.Pods)
	}
	return f, observed
}

func countOf(n *int32) count {
	if n == nil {
		return count{}
	}
	return count{*n, true}
}

// apply writes the facts into the status of an object.
func (f statusFacts) apply(r *codec.Resource, o codec.Object) {
	s := r.Status(o)
	s.ObservedGeneration, s.ID, s.Name = o.GetGeneration(), f.id, f.name
	set := func(name string, c conditionFacts) {
		meta.SetStatusCondition(&s.Conditions, metav1.Condition{Type: name, Status: c.status, Reason: c.reason, Message: c.message, ObservedGeneration: o.GetGeneration()})
	}
	set(v1.Ready, f.ready)
	if t, ok := o.(*v1.DeploymentTarget); ok {
		t.Status.References = new(f.references.n)
		set(v1.Referenced, f.referenced)
	}
}

// apply writes the facts that are known into the status of an object.
func (f observedFacts) apply(o codec.Object) {
	if state := workloadState(o); state != nil && f.state != "" {
		*state = f.state
	}
	if t, ok := o.(*v1.DeploymentTarget); ok && f.workloads.ok {
		t.Status.Workloads, t.Status.Pods = new(f.workloads.n), new(f.pods.n)
	}
}
