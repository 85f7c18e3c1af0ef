package registry

import (
	"time"

	jsonv2 "github.com/go-json-experiment/json"
)

// State is the state of a Deployment or SessionCluster, as in the REST API.
type State string

// The states. Those of the spec are Running, Cancelled, Suspended and, of a SessionCluster, Stopped.
const (
	Running       State = "RUNNING"
	Cancelled     State = "CANCELLED"
	Suspended     State = "SUSPENDED"
	Stopped       State = "STOPPED"
	Failed        State = "FAILED"
	Finished      State = "FINISHED"
	Transitioning State = "TRANSITIONING" // the cluster does not run yet, or still runs, what the spec states
)

// Observer reads the state of Flink workloads from caches, without API calls.
type Observer interface {
	// Observe returns the state of the workloads of a Deployment or SessionCluster, the zero
	// Observation if it has none.
	Observe(kind Kind, id string) Observation
}

// Observation is the combined state of the workloads of one object.
type Observation struct {
	// State is Running, Transitioning, Failed or Finished; Suspended: the workloads exist and
	// run nothing; "": there are no workloads.
	State State
	JobID string    // of Running, empty if unknown
	Since time.Time // of Running
}

// Status is the status of a Deployment or SessionCluster.
type Status struct {
	State   State
	Running *RunningStatus // nil unless State is Running
}

// RunningStatus describes the running job.
type RunningStatus struct {
	JobID string // empty if unknown
	Since time.Time
}

// Readiness is whether Flink may run in the Kubernetes namespace of a target.
type Readiness struct {
	Ready   bool
	Reason  string // one word, of the condition Ready of the custom resource
	Message string // of a target that is not ready: with the remedy
}

// Status returns the status of an object, as [StatusOf] with the observer of the registry.
func (r *Registry) Status(o Object) Status { return StatusOf(o, r.observer) }

// Observes reports whether the status of objects follows a cluster, so that it changes without
// the objects.
func (r *Registry) Observes() bool { return r.observer != nil }

// StatusOf returns the status of an object: its workloads' state, compared with spec.state.
// Without a cluster, observer is nil and the status follows spec.state. The zero Status is
// that of kinds without one.
func StatusOf(o Object, observer Observer) Status {
	if o.Kind != Deployment && o.Kind != SessionCluster {
		return Status{}
	}
	desired := desiredState(o)
	observed := Observation{State: desired, Since: o.Metadata.ModifiedAt}
	if desired != Running {
		observed = Observation{}
	}
	if observer != nil {
		observed = observer.Observe(o.Kind, o.Metadata.ID)
	}
	s := Status{State: stateOf(o.Kind, desired, observed.State)}
	if s.State == Running {
		s.Running = &RunningStatus{JobID: observed.JobID, Since: observed.Since}
	}
	return s
}

// desiredState returns spec.state; "" if the spec has none.
func desiredState(o Object) State {
	var spec struct {
		State any `json:"state"`
	}
	_ = jsonv2.Unmarshal(o.Spec, &spec) // any object is valid
	text, _ := spec.State.(string)
	return State(text)
}

// stateOf returns the state of an object of a kind from spec.state, "" if the spec has none, and
// the state that is observed.
func stateOf(kind Kind, desired, observed State) State {
	runs := observed == Running || observed == Transitioning
	switch desired {
	case Cancelled, Suspended, Stopped:
		if runs {
			return Transitioning
		}
		return desired
	case Running:
		if observed == "" || observed == Suspended {
			return Transitioning
		}
		return observed
	}
	switch {
	case observed != "":
		return observed
	case kind == SessionCluster:
		return Stopped
	}
	return Cancelled
}
