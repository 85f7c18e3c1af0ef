package observe

import (
	"fmt"
	"slices"
	"testing"

	"drey.dev/drey/inventory"
)

// TestShown: each state is printed once, from events and from lists, and deletions of what was
// printed alone.
func TestShown(t *testing.T) {
	w := func(name string, pods int) inventory.Workload {
		return inventory.Workload{Namespace: "n", Owner: inventory.Owner{Kind: "Job", Name: name}, Pods: pods}
	}
	var printed []string
	s := newShown([]inventory.Workload{w("a", 1), w("b", 1)}, inventory.Workload.Key, func(w inventory.Workload, deleted bool) error {
		printed = append(printed, fmt.Sprintf("%s%d%t", w.Owner.Name, w.Pods, deleted))
		return nil
	})
	s.compared = func(w inventory.Workload) inventory.Workload { w.Use = nil; return w }
	want := func(step string, err error, all ...string) {
		t.Helper()
		if err != nil || !slices.Equal(printed, all) {
			t.Errorf("%s: printed %q, want %q, error %v", step, printed, all, err)
		}
		printed = nil
	}
	want("same", s.change(w("a", 1), false))
	want("changed", s.change(w("a", 2), false), "a2false")
	used := w("a", 2)
	used.Use = &inventory.Resources{MilliCPU: 1}
	want("not compared", s.change(used, false))
	want("list", s.replace([]inventory.Workload{used, w("c", 1)}), "c1false", "b1true")
	want("unknown deleted", s.change(w("x", 1), true))
	want("deleted", s.change(w("c", 1), true), "c1true")
	if s.has(w("c", 1)) || !s.has(w("a", 9)) {
		t.Error("known after the deletion")
	}
}
