package registry

import (
	"encoding/json"
	"testing"
	"time"
)

func TestStateOf(t *testing.T) {
	observed := []State{"", Suspended, Transitioning, Running, Failed, Finished}
	for _, c := range []struct {
		kind    Kind
		desired State
		want    []State // for each observed
	}{
		{Deployment, Running, []State{Transitioning, Transitioning, Transitioning, Running, Failed, Finished}},
		{Deployment, Cancelled, []State{Cancelled, Cancelled, Transitioning, Transitioning, Cancelled, Cancelled}},
		{Deployment, Suspended, []State{Suspended, Suspended, Transitioning, Transitioning, Suspended, Suspended}},
		{Deployment, "", []State{Cancelled, Suspended, Transitioning, Running, Failed, Finished}},
		{Deployment, "unknown", []State{Cancelled, Suspended, Transitioning, Running, Failed, Finished}},
		{SessionCluster, Running, []State{Transitioning, Transitioning, Transitioning, Running, Failed, Finished}},
		{SessionCluster, Stopped, []State{Stopped, Stopped, Transitioning, Transitioning, Stopped, Stopped}},
		{SessionCluster, "", []State{Stopped, Suspended, Transitioning, Running, Failed, Finished}},
	} {
		for i, o := range observed {
			if got := stateOf(c.kind, c.desired, o); got != c.want[i] {
				t.Errorf("%s with spec.state %q, observed %q: got %s, want %s", c.kind, c.desired, o, got, c.want[i])
			}
		}
	}
}

type observerFunc func(kind Kind, id string) Observation

func (f observerFunc) Observe(kind Kind, id string) Observation { return f(kind, id) }

func TestStatusOf(t *testing.T) {
	modified, since := time.Unix(1, 0).UTC(), time.Unix(2, 0).UTC()
	object := func(kind Kind, spec string) Object {
		return Object{Kind: kind, Metadata: Metadata{ID: "id", ModifiedAt: modified}, Spec: json.RawMessage(spec)}
	}
	running := observerFunc(func(kind Kind, id string) Observation {
		if kind != Deployment || id != "id" {
			return Observation{}
		}
		return Observation{State: Running, JobID: "job", Since: since}
	})
	for rule, c := range map[string]struct {
		object   Object
		observer Observer
		state    State
		running  RunningStatus
	}{
		"no cluster, running":          {object(Deployment, `{"state":"RUNNING"}`), nil, Running, RunningStatus{Since: modified}},
		"no cluster, canceled":         {object(Deployment, `{"state":"CANCELLED"}`), nil, Cancelled, RunningStatus{}},
		"no cluster, no state":         {object(Deployment, `{}`), nil, Cancelled, RunningStatus{}},
		"no cluster, state of no type": {object(Deployment, `{"state":{}}`), nil, Cancelled, RunningStatus{}},
		"cluster, running":             {object(Deployment, `{"state":"RUNNING"}`), running, Running, RunningStatus{"job", since}},
		"cluster, canceled":            {object(Deployment, `{"state":"CANCELLED"}`), running, Transitioning, RunningStatus{}},
		"cluster, nothing runs":        {object(SessionCluster, `{"state":"RUNNING"}`), running, Transitioning, RunningStatus{}},
		"a target":                     {object(DeploymentTarget, `{"kubernetes":{}}`), running, "", RunningStatus{}},
	} {
		t.Run(rule, func(t *testing.T) {
			got := StatusOf(c.object, c.observer)
			if got.State != c.state || (got.Running != nil) != (c.state == Running) || got.Running != nil && *got.Running != c.running {
				t.Errorf("got %+v %+v", got, got.Running)
			}
		})
	}
}
