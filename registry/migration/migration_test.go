package migration_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/boltstore"
	"drey.dev/drey/registry/memstore"
	"drey.dev/drey/registry/migration"
)

func object(kind registry.Kind, namespace, name, spec string) registry.Object {
	at := time.Date(2020, 1, 2, 3, 4, 5, 678e6, time.UTC)
	return registry.Object{Kind: kind, Spec: json.RawMessage(spec), Metadata: registry.Metadata{
		ID: fmt.Sprintf("7a0c0e1d-2b3a-4958-8776-%012d", len(namespace)*100+len(name)), Namespace: namespace, Name: name,
		CreatedAt: at, ModifiedAt: at.Add(time.Hour), Labels: map[string]string{"team": "nuts"}, Annotations: map[string]string{"a b": "c"},
	}}
}

func filled(t *testing.T) registry.Store {
	t.Helper()
	s := memstore.New()
	for _, o := range []registry.Object{
		object(registry.Namespace, "", "team-a", "{}"),
		object(registry.Deployment, "team-a", "one", `{"deploymentTargetName":"here","big":12345678901234567890.10}`),
		object(registry.DeploymentTarget, "team-a", "here", `{"kubernetes":{"namespace":"flink"}}`),
		object(registry.SessionCluster, "team-a", "shared", `{"deploymentTargetName":"here"}`),
		object(registry.DeploymentDefaults, "team-a", registry.DefaultsName, `{"deploymentTargetName":"here"}`),
		object(registry.APIToken, "team-a", "ci", `{"role":"editor"}`),
	} {
		if _, err := s.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func plan(t *testing.T, from, to registry.Store) []migration.Step {
	t.Helper()
	steps, err := migration.Plan(t.Context(), from, to)
	if err != nil {
		t.Fatal(err)
	}
	return steps
}

func states(steps []migration.Step) (all []migration.State) {
	for _, s := range steps {
		all = append(all, s.State)
	}
	return all
}

// TestCopy: a copy equals its source.
func TestCopy(t *testing.T) {
	from := filled(t)
	to, err := boltstore.Open(filepath.Join(t.TempDir(), "registry.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	var copied []registry.Kind
	if err := migration.Copy(t.Context(), plan(t, from, to), to, func(s migration.Step) { copied = append(copied, s.Object.Kind) }); err != nil {
		t.Fatal(err)
	}
	if want := []registry.Kind{registry.Namespace, registry.DeploymentTarget, registry.SessionCluster, registry.Deployment, registry.DeploymentDefaults, registry.APIToken}; !slices.Equal(copied, want) {
		t.Errorf("copied %v", copied)
	}
	for _, kind := range copied {
		a, errA := from.List(t.Context(), kind, "", registry.Cached)
		b, errB := to.List(t.Context(), kind, "", registry.Cached)
		if err := errors.Join(errA, errB); err != nil || !cmp.Equal(a, b) {
			t.Errorf("%v (-before +after):\n%s", err, cmp.Diff(a, b))
		}
	}
	if got := states(plan(t, from, to)); slices.ContainsFunc(got, func(s migration.State) bool { return s != migration.There }) {
		t.Errorf("after it: %v", got)
	}
}

// TestCopyResume: an interrupted copy can be resumed.
func TestCopyResume(t *testing.T) {
	for after := 1; after < 6; after++ {
		from, to := filled(t), memstore.New()
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		err := migration.Copy(ctx, plan(t, from, to), to, func(migration.Step) {
			if n++; n == after {
				cancel()
			}
		})
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("after %d: %v", after, err)
		}
		again := 0
		if err := migration.Copy(t.Context(), plan(t, from, to), to, func(migration.Step) { again++ }); err != nil || n+again != 6 {
			t.Errorf("%v: %d were copied, and then %d", err, n, again)
		}
	}
}

// TestCopyExisting: existing objects are not changed.
func TestCopyExisting(t *testing.T) {
	for what, change := range map[string]func(*registry.Object){
		"its id":          func(o *registry.Object) { o.Metadata.ID = "0a0c0e1d-2b3a-4958-8776-000000000000" },
		"its spec":        func(o *registry.Object) { o.Spec = json.RawMessage(`{"kubernetes":{"namespace":"other"}}`) },
		"its labels":      func(o *registry.Object) { o.Metadata.Labels = nil },
		"its annotations": func(o *registry.Object) { o.Metadata.Annotations = map[string]string{} },
		"its displayName": func(o *registry.Object) { o.Metadata.DisplayName = "Here" },
	} {
		from, to := filled(t), memstore.New()
		o := object(registry.DeploymentTarget, "team-a", "here", `{"kubernetes":{"namespace":"flink"}}`)
		change(&o)
		if _, err := to.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		steps := plan(t, from, to)
		if s := steps[1]; s.State != migration.Differs || !strings.Contains(s.Why, what) {
			t.Errorf("%s: %+v", what, s)
		}
		if err := migration.Copy(t.Context(), steps, to, func(migration.Step) {}); err != nil {
			t.Error(err)
		}
		if now, err := to.Get(t.Context(), o.Key(), registry.Cached); err != nil || now.Metadata.ID != o.Metadata.ID || string(now.Spec) != string(o.Spec) {
			t.Errorf("%v %+v", err, now)
		}
	}
}

// TestPlanUnsupportedKind: kinds that the destination does not support are left out.
func TestPlanUnsupportedKind(t *testing.T) {
	from := filled(t)
	if _, err := from.Create(t.Context(), object(registry.Namespace, "", "closed", "{}")); err != nil {
		t.Fatal(err)
	}
	if _, err := from.Create(t.Context(), object(registry.DeploymentTarget, "closed", "x", `{"kubernetes":{"namespace":"x"}}`)); err != nil {
		t.Fatal(err)
	}
	to := picky{memstore.New()}
	steps := plan(t, from, withoutTokens{to})
	copied := 0
	err := migration.Copy(t.Context(), steps, to, func(migration.Step) { copied++ })
	if copied != 5 || err == nil || strings.Count(err.Error(), "no such place") != 1 || !strings.Contains(err.Error(), `platform namespace "closed"`) {
		t.Errorf("%d were copied: %v", copied, err)
	}
	if s := steps[len(steps)-1]; s.State != migration.Left {
		t.Errorf("%+v", s)
	}
}

// picky has no place for one platform namespace.
type picky struct{ registry.Store }

func (p picky) Create(ctx context.Context, o registry.Object) (registry.Object, error) {
	if o.Metadata.Name == "closed" || o.Metadata.Namespace == "closed" {
		return registry.Object{}, &registry.Error{Reason: registry.ReasonNotFound, Message: "no such place"}
	}
	return p.Store.Create(ctx, o)
}

// withoutTokens is a store that keeps no API tokens.
type withoutTokens struct{ registry.Store }

func (withoutTokens) Capabilities() registry.Capabilities { return registry.Capabilities{} }
