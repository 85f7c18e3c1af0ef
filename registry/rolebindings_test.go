package registry_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/memstore"
)

func TestPutNamespace(t *testing.T) {
	r := newRegistry(t, memstore.New(), "team-a")
	bindings := []registry.RoleBinding{{Role: "editor", Members: []string{"system:authenticated"}}, {Role: "viewer"}}
	stored, outcome, err := r.PutNamespace(t.Context(), "team-a", bindings)
	if err != nil || outcome != registry.Replaced || stored.Metadata.ResourceVersion != 2 {
		t.Fatalf("got %+v, %v, %v", stored, outcome, err)
	}
	read, err := r.GetNamespace(t.Context(), "team-a", registry.Consistent)
	if err != nil {
		t.Fatal(err)
	}
	want := []registry.RoleBinding{{Role: "editor", Members: []string{"system:authenticated"}}, {Role: "viewer", Members: []string{}}}
	if diff := cmp.Diff(want, registry.RoleBindings(read)); diff != "" {
		t.Errorf("role bindings (-want +got):\n%s", diff)
	}
	if again, outcome, err := r.PutNamespace(t.Context(), "team-a", bindings); err != nil || outcome != registry.Unchanged || again.Metadata.ResourceVersion != 2 {
		t.Errorf("the same again: got version %d, %v, %v", again.Metadata.ResourceVersion, outcome, err)
	}
	if got := registry.RoleBindings(registry.Object{Spec: []byte("[]")}); got != nil {
		t.Errorf("of an invalid spec: got %v", got)
	}
}

func TestPutNamespaceRefused(t *testing.T) {
	r := newRegistry(t, memstore.New(), "team-a")
	for rule, c := range map[string]struct {
		name     string
		bindings []registry.RoleBinding
		reason   registry.Reason
		message  string
	}{
		"unknown role":               {"team-a", []registry.RoleBinding{{Role: "viewer"}, {Role: "admin"}}, registry.ReasonInvalidSpec, "roleBindings[1].role"},
		"empty member":               {"team-a", []registry.RoleBinding{{Role: "owner", Members: []string{"a", ""}}}, registry.ReasonInvalidSpec, "roleBindings[0].members"},
		"too many members":           {"team-a", []registry.RoleBinding{{Role: "owner", Members: []string{strings.Repeat("x", 64<<10)}}}, registry.ReasonInvalidSpec, "bytes"},
		"unknown platform namespace": {"team-b", nil, registry.ReasonNotFound, "does not exist"},
	} {
		t.Run(rule, func(t *testing.T) {
			_, outcome, err := r.PutNamespace(t.Context(), c.name, c.bindings)
			if registry.ReasonOf(err) != c.reason || !strings.Contains(err.Error(), c.message) || outcome != registry.Unchanged {
				t.Errorf("got %v, %v", outcome, err)
			}
		})
	}
	if _, err := r.CreateNamespace(t.Context(), "team-b", registry.RoleBinding{Role: "admin"}); registry.ReasonOf(err) != registry.ReasonInvalidSpec {
		t.Errorf("create with an unknown role: got %v", err)
	}
	if _, err := r.GetNamespace(t.Context(), "team-b", registry.Consistent); registry.ReasonOf(err) != registry.ReasonNotFound {
		t.Errorf("it was created: %v", err)
	}
}

// contended is a store whose updates conflict a number of times, as with other writers.
type contended struct {
	*memstore.Store
	conflicts int
}

func (s *contended) Update(ctx context.Context, o registry.Object, version int32) (registry.Object, error) {
	if s.conflicts > 0 {
		s.conflicts--
		return registry.Object{}, registry.ErrConflict
	}
	return s.Store.Update(ctx, o, version)
}

// TestPutNamespaceContended: a conflict is retried, and 20 in a row are refused.
func TestPutNamespaceContended(t *testing.T) {
	s := &contended{Store: memstore.New()}
	r := newRegistry(t, s, "team-a")
	s.conflicts = 19
	if _, outcome, err := r.PutNamespace(t.Context(), "team-a", []registry.RoleBinding{{Role: "owner"}}); err != nil || outcome != registry.Replaced {
		t.Errorf("19 conflicts: got %v, %v", outcome, err)
	}
	s.conflicts = 20
	if _, _, err := r.PutNamespace(t.Context(), "team-a", []registry.RoleBinding{{Role: "viewer"}}); registry.ReasonOf(err) != registry.ReasonConflict {
		t.Errorf("20 conflicts: got %v", err)
	}
}

func TestNamespaces(t *testing.T) {
	r := newRegistry(t, memstore.New(), "team-b", "team-a")
	all, err := r.Namespaces(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, o := range all {
		names = append(names, o.Metadata.Name)
	}
	if diff := cmp.Diff([]string{"default", "team-a", "team-b"}, names); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, _, err := r.DeleteNamespace(t.Context(), "default"); registry.ReasonOf(err) != registry.ReasonNamespaceInUse {
		t.Errorf("delete default: got %v", err)
	}
	if _, err := r.CreateNamespace(t.Context(), "team-a"); registry.ReasonOf(err) != registry.ReasonAlreadyExists {
		t.Errorf("create team-a again: got %v", err)
	}
}
