package workloads

import (
	"testing"
	"time"

	"drey.dev/drey/webhook/runstate"

	"drey.dev/drey/registry"
)

type fakeRuns struct {
	runs   []runstate.Run
	synced bool
}

func (f fakeRuns) Runs(string) []runstate.Run { return f.runs }
func (f fakeRuns) Synced() bool               { return f.synced }

func TestObserve(t *testing.T) {
	first, second := time.Unix(1, 0), time.Unix(2, 0)
	for rule, c := range map[string]struct {
		runs []runstate.Run
		want registry.Observation
	}{
		"nothing": {nil, registry.Observation{}},
		"running since the last process runs": {[]runstate.Run{{State: runstate.Running, Since: second}, {State: runstate.Running, JobID: "job", Since: first}},
			registry.Observation{State: registry.Running, JobID: "job", Since: second}},
		"one process starts":              {[]runstate.Run{{State: runstate.Running}, {State: runstate.Transitioning}}, registry.Observation{State: registry.Transitioning}},
		"running beside a failed attempt": {[]runstate.Run{{State: runstate.Failed}, {State: runstate.Running, JobID: "job"}}, registry.Observation{State: registry.Running, JobID: "job"}},
		"failed beside a suspended":       {[]runstate.Run{{State: runstate.Stopped}, {State: runstate.Failed}}, registry.Observation{State: registry.Failed}},
		"finished":                        {[]runstate.Run{{State: runstate.Finished}}, registry.Observation{State: registry.Finished}},
		"exists and runs nothing":         {[]runstate.Run{{State: runstate.Stopped}}, registry.Observation{State: registry.Suspended}},
	} {
		t.Run(rule, func(t *testing.T) {
			var o Observer
			o.Use(fakeRuns{c.runs, true})
			if got := o.Observe(registry.Deployment, "id"); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
	t.Run("not synced", func(t *testing.T) {
		var o Observer
		if got := o.Observe(registry.Deployment, "id"); got.State != registry.Transitioning {
			t.Errorf("without a cache: %+v", got)
		}
		o.Use(fakeRuns{})
		if got := o.Observe(registry.Deployment, "id"); got.State != registry.Transitioning {
			t.Errorf("before the sync: %+v", got)
		}
	})
}
