package storetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"drey.dev/drey/registry"
)

// recorder keeps what a watch reports.
type recorder struct {
	mu   sync.Mutex
	seen []string
}

func (r *recorder) observe(e registry.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, fmt.Sprintf("%s %s/%s@%d", e.Change, e.Object.Metadata.Namespace, e.Object.Metadata.Name, e.Object.Metadata.ResourceVersion))
}

func (r *recorder) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.seen)
}

func (r *recorder) want(t *testing.T, want ...string) {
	t.Helper()
	if got := r.all(); !slices.Equal(got, want) {
		t.Errorf("observed %q, want %q", got, want)
	}
}

func watch(t *testing.T, s registry.Store) {
	a := mustCreate(t, s, Target("default", "a", "staging"))
	var r recorder
	if err := s.Watch(t.Context(), registry.DeploymentTarget, r.observe); err != nil {
		t.Fatal(err)
	}
	b := mustCreate(t, s, Target("team", "b", "staging"))
	if _, err := s.Update(t.Context(), a, 1); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), b.Key(), 1); err != nil {
		t.Fatal(err)
	}
	_ = s.Delete(t.Context(), b.Key(), 1)
	_, _ = s.Create(t.Context(), a)
	r.want(t, "Added default/a@1", "Added team/b@1", "Modified default/a@2", "Deleted team/b@1")
}

func watchBeforeAcknowledge(t *testing.T, s registry.Store) {
	var r recorder
	if err := s.Watch(t.Context(), registry.DeploymentTarget, r.observe); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		mustCreate(t, s, Target("default", fmt.Sprint("t", i), "staging"))
		if got := len(r.all()); got != i+1 {
			t.Fatalf("after %d writes %d events were observed", i+1, got)
		}
	}
}

func watchNoGap(t *testing.T, s registry.Store) {
	const writers, each = 4, 25
	var wait sync.WaitGroup
	for w := range writers {
		wait.Go(func() {
			for i := range each {
				if _, err := s.Create(t.Context(), Target("default", fmt.Sprintf("w%d-%d", w, i), "staging")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	recorders := make([]recorder, 5)
	for i := range recorders { // begun at any moment among the writes
		if err := s.Watch(t.Context(), registry.DeploymentTarget, recorders[i].observe); err != nil {
			t.Fatal(err)
		}
	}
	wait.Wait()
	for i := range recorders {
		seen := recorders[i].all()
		slices.Sort(seen)
		if distinct := slices.Compact(slices.Clone(seen)); len(seen) != writers*each || len(distinct) != writers*each {
			t.Errorf("watch %d: %d events of which %d distinct, want %d", i, len(seen), len(distinct), writers*each)
		}
	}
}

func watchOrder(t *testing.T, s registry.Store) {
	const watches = 8
	var seen []int
	for i := range watches {
		err := s.Watch(t.Context(), registry.DeploymentTarget, func(registry.Event) { seen = append(seen, i) })
		if err != nil {
			t.Fatal(err)
		}
	}
	mustCreate(t, s, Target("default", "a", "staging"))
	if want := []int{0, 1, 2, 3, 4, 5, 6, 7}; !slices.Equal(seen, want) {
		t.Errorf("watches that observed the write: got %v, want %v", seen, want)
	}
}

func watchEnds(t *testing.T, s registry.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	var r recorder
	if err := s.Watch(ctx, registry.DeploymentTarget, r.observe); err != nil {
		t.Fatal(err)
	}
	mustCreate(t, s, Target("default", "a", "staging"))
	cancel()
	mustCreate(t, s, Target("default", "b", "staging"))
	r.want(t, "Added default/a@1")
}

func watchKind(t *testing.T, s registry.Store) {
	var r recorder
	if err := s.Watch(t.Context(), "SomethingElse", r.observe); err != nil {
		t.Fatal(err)
	}
	mustCreate(t, s, Target("default", "a", "staging"))
	r.want(t)
}
