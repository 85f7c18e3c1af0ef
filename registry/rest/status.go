package rest

import (
	"time"

	"drey.dev/drey/registry"
)

// status is the status of a Deployment or SessionCluster in a response.
type status struct {
	State   registry.State `json:"state"`
	Running *running       `json:"running,omitempty"`
}

type running struct {
	Conditions     []struct{} `json:"conditions"` // never null: clients iterate it
	JobID          string     `json:"jobId"`
	TransitionTime time.Time  `json:"transitionTime"`
}

func (s *server) statusOf(o registry.Object) *status {
	found := s.registry.Status(o)
	if found.State == "" {
		return nil
	}
	out := &status{State: found.State}
	if r := found.Running; r != nil {
		out.Running = &running{Conditions: []struct{}{}, JobID: r.JobID, TransitionTime: r.Since.UTC().Truncate(time.Millisecond)}
	}
	return out
}

// statusChanges reports whether the status changes without the version of the object. Then an
// ETag is no validator of a cached copy.
func (c collection) statusChanges() bool {
	return c.registry.Observes() && (c.kind == registry.Deployment || c.kind == registry.SessionCluster)
}
