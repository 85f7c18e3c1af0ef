package registry_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/memstore"
)

// switched is a cluster whose observation a test sets.
type switched struct{ registry.Observation }

func (s *switched) Observe(registry.Kind, string) registry.Observation { return s.Observation }

func messages(t *testing.T, r *registry.Registry, deploymentID, jobID string) (all []string) {
	t.Helper()
	found, err := r.History(t.Context(), registry.DefaultNamespace, deploymentID, jobID)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range found {
		all = append(all, o.Message)
	}
	return all
}

func deployment(name, spec string) registry.Object {
	return registry.Object{Kind: registry.Deployment, Metadata: registry.Metadata{Namespace: registry.DefaultNamespace, Name: name}, Spec: json.RawMessage(spec)}
}

// TestHistory follows a Deployment and what the cluster runs.
func TestHistory(t *testing.T) {
	store, cluster := memstore.New(), &switched{registry.Observation{State: registry.Transitioning}} // not synced
	before, err := registry.New(t.Context(), store, registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	old, err := before.Create(t.Context(), deployment("old", `{"state":"RUNNING"}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := registry.New(t.Context(), store, registry.Options{Observer: cluster})
	if err != nil {
		t.Fatal(err)
	}
	if got := messages(t, r, "", ""); len(got) > 0 {
		t.Errorf("of the objects at the start: got %q", got)
	}
	cluster.Observation = registry.Observation{State: registry.Running, JobID: "job-0"}
	r.StateChanged(old.Metadata.ID)
	r.StateChanged("")
	if got := messages(t, r, "", ""); len(got) > 0 {
		t.Errorf("at the sync: got %q", got)
	}
	cluster.Observation = registry.Observation{}
	o, err := r.Create(t.Context(), deployment("orders", `{"state":"RUNNING"}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	cluster.Observation = registry.Observation{State: registry.Running, JobID: "job-1"}
	r.StateChanged(o.Metadata.ID)
	r.StateChanged(o.Metadata.ID)
	r.StateChanged("unknown")
	cluster.Observation = registry.Observation{}
	if _, _, err := r.Put(t.Context(), deployment("orders", `{"state":"CANCELLED"}`), registry.Precondition{}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Delete(t.Context(), o.Key(), registry.Precondition{}); err != nil {
		t.Fatal(err)
	}
	r.StateChanged("")
	r.StateChanged(o.Metadata.ID)
	want := []string{
		`Deployment "orders" deleted`,
		`Deployment "orders" is CANCELLED, was RUNNING`,
		`Deployment "orders" changed`,
		`Deployment "orders" is RUNNING, was TRANSITIONING`,
		`Deployment "orders" created`,
	}
	if got := messages(t, r, o.Metadata.ID, ""); !slices.Equal(got, want) {
		t.Errorf("got %s\nwant %s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := messages(t, r, "", "job-1"); !slices.Equal(got, want[3:4]) {
		t.Errorf("of the job: got %q, want %q", got, want[3:4])
	}
	if got := messages(t, r, old.Metadata.ID, ""); !slices.Equal(got, []string{`Deployment "old" is TRANSITIONING, was RUNNING`}) {
		t.Errorf("of the one at the start: got %q", got)
	}
}

// TestHistoryBound: the oldest occurrences of a platform namespace are dropped, and ids are unique.
func TestHistoryBound(t *testing.T) {
	r, err := registry.New(t.Context(), memstore.New(), registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range registry.MaxHistory + 10 {
		if _, _, err := r.Put(t.Context(), deployment("orders", fmt.Sprintf(`{"n":%d}`, i)), registry.Precondition{}, nil); err != nil {
			t.Fatal(err)
		}
	}
	all, err := r.History(t.Context(), registry.DefaultNamespace, "", "")
	if err != nil || len(all) != registry.MaxHistory {
		t.Fatalf("got %d, %v", len(all), err)
	}
	ids := map[string]bool{}
	for _, o := range all {
		ids[o.ID] = true
	}
	if len(ids) != len(all) {
		t.Errorf("%d ids of %d occurrences", len(ids), len(all))
	}
	if _, err := r.History(t.Context(), "missing", "", ""); registry.ReasonOf(err) != registry.ReasonNotFound {
		t.Errorf("of a missing platform namespace: %v", err)
	}
}
