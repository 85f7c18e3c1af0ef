package server

import (
	"testing"

	"drey.dev/drey/inventory"
)

// TestTargetCounts: a target is reported when its workloads or pods change, and when the last
// workload is gone.
func TestTargetCounts(t *testing.T) {
	var c targetCounts
	if _, _, ok := c.of("a", "t"); ok {
		t.Error("known before the first count")
	}
	v := inventory.New()
	step := func(want int, workloads, pods int32) {
		t.Helper()
		changed := 0
		c.count(v, func(string, string) { changed++ })
		w, p, ok := c.of("a", "t")
		if changed != want || w != workloads || p != pods || !ok {
			t.Errorf("%d changes, %d workloads, %d pods", changed, w, p)
		}
	}
	w := inventory.Workload{Namespace: "n", PlatformNamespace: "a", Target: "t", Owner: inventory.Owner{Kind: "Job", Name: "x"}, Pods: 2}
	step(0, 0, 0)
	v.Put(w)
	step(1, 1, 2)
	step(0, 1, 2)
	w.Pods = 3
	v.Put(w)
	step(1, 1, 3)
	v.Delete(w.Key())
	step(1, 0, 0)
}
