package workloads

import (
	"testing"
	"time"

	"drey.dev/drey/registry"
	"drey.dev/drey/webhook/flink"
)

type fakeRuns struct {
	runs   []flink.Run
	synced bool
}

func (f fakeRuns) Runs(string) []flink.Run { return f.runs }
func (f fakeRuns) Synced() bool            { return f.synced }

func TestObserve(t *testing.T) {
	first, second := time.Unix(1, 0), time.Unix(2, 0)
	for rule, c := range map[string]struct {
		runs []flink.Run
		want registry.Observation
	}{
		"nothing": {nil, registry.Observation{}},
		"running since the last process runs": {[]flink.Run{{State: flink.Running, Since: second}, {State: flink.Running, JobID: "job", Since: first}},
			registry.Observation{State: registry.Running, JobID: "job", Since: second}},
		"one process starts":              {[]flink.Run{{State: flink.Running}, {State: flink.Transitioning}}, registry.Observation{State: registry.Transitioning}},
		"running beside a failed attempt": {[]flink.Run{{State: flink.Failed}, {State: flink.Running, JobID: "job"}}, registry.Observation{State: registry.Running, JobID: "job"}},
		"failed beside a suspended":       {[]flink.Run{{State: flink.Stopped}, {State: flink.Failed}}, registry.Observation{State: registry.Failed}},
		"finished":                        {[]flink.Run{{State: flink.Finished}}, registry.Observation{State: registry.Finished}},
		"exists and runs nothing":         {[]flink.Run{{State: flink.Stopped}}, registry.Observation{State: registry.Suspended}},
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
