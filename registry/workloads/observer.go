package workloads

import (
	"sync/atomic"

	"drey.dev/drey/webhook/runstate"

	"drey.dev/drey/registry"
)

// Runs is a cache of the Flink workloads of the cluster.
type Runs interface {
	// Runs returns the runs of the workloads whose label deploymentId or sessionClusterId is id.
	Runs(id string) []runstate.Run
	// Synced reports whether the cache has the initial lists.
	Synced() bool
}

// Observer observes Flink through a cache. Without one, or before it has synced, everything is
// transitioning. The zero value is ready to use.
type Observer struct{ runs atomic.Pointer[Runs] }

var _ registry.Observer = (*Observer)(nil)

// Use makes o read a cache.
func (o *Observer) Use(runs Runs) { o.runs.Store(&runs) }

// Observe implements registry.Observer.
func (o *Observer) Observe(_ registry.Kind, id string) registry.Observation {
	runs := o.runs.Load()
	if runs == nil || !(*runs).Synced() {
		return registry.Observation{State: registry.Transitioning}
	}
	return observation((*runs).Runs(id))
}

// observation combines the runs of one object. All processes must run, and what runs now
// precedes what has ended.
func observation(runs []runstate.Run) (o registry.Observation) {
	for _, state := range []runstate.State{runstate.Transitioning, runstate.Running, runstate.Failed, runstate.Finished, runstate.Stopped} {
		for _, run := range runs {
			if run.State != state {
				continue
			}
			o.State = states[state]
			if run.Since.After(o.Since) {
				o.Since = run.Since
			}
			if o.JobID == "" {
				o.JobID = run.JobID
			}
		}
		if o.State != "" {
			return o
		}
	}
	return o
}

var states = map[runstate.State]registry.State{
	runstate.Transitioning: registry.Transitioning,
	runstate.Running:       registry.Running,
	runstate.Failed:        registry.Failed,
	runstate.Finished:      registry.Finished,
	runstate.Stopped:       registry.Suspended,
}
