package storetest

import (
	"context"
	"errors"
	"testing"

	"drey.dev/drey/registry"
)

// apiTokens: a store keeps API tokens if it declares them, and refuses them otherwise.
func apiTokens(t *testing.T, s registry.Store) {
	token := Target("default", "ci", "")
	token.Kind = registry.APIToken
	token.Metadata.ID = id(token.Kind, "default", "ci")
	token.Spec = []byte(`{"role":"editor"}`)
	if !s.Capabilities().APITokens {
		_, err := s.Create(t.Context(), token)
		if registry.ReasonOf(err) != registry.ReasonNotSupported {
			t.Errorf("create: %v, want %s", err, registry.ReasonNotSupported)
		}
		_, err = s.Get(t.Context(), token.Key(), registry.Cached)
		wantErr(t, err, registry.ErrNotFound)
		return
	}
	token = mustCreate(t, s, token)
	same(t, mustGet(t, s, token.Key()), token)
	if err := s.Delete(t.Context(), token.Key(), 1); err != nil {
		t.Error(err)
	}
}

// deleteIf deletes only objects that pass the check.
func deleteIf(t *testing.T, s registry.Store) {
	shared := s.Capabilities().SharedWrites
	if shared == nil {
		return
	}
	o := mustCreate(t, s, Target("default", "a", "staging"))
	errReferenced := errors.New("referenced")
	err := shared.DeleteIf(t.Context(), o.Key(), 1, func(context.Context) error { return errReferenced })
	wantErr(t, err, errReferenced)
	same(t, mustGet(t, s, o.Key()), o)
	wantErr(t, shared.DeleteIf(t.Context(), o.Key(), 2, unreferenced), registry.ErrConflict)
	if err := shared.DeleteIf(t.Context(), o.Key(), 1, unreferenced); err != nil {
		t.Fatal(err)
	}
	wantErr(t, shared.DeleteIf(t.Context(), o.Key(), 1, unreferenced), registry.ErrNotFound)
	_, err = s.Get(t.Context(), o.Key(), registry.Cached)
	wantErr(t, err, registry.ErrNotFound)
}

// confirm finds an object by its key and, if stated, its id.
func confirm(t *testing.T, s registry.Store) {
	shared := s.Capabilities().SharedWrites
	if shared == nil {
		return
	}
	o := mustCreate(t, s, Target("default", "a", "staging"))
	for _, id := range []string{"", o.Metadata.ID} {
		if err := shared.Confirm(t.Context(), o.Key(), id); err != nil {
			t.Errorf("id %q: %v", id, err)
		}
	}
	wantErr(t, shared.Confirm(t.Context(), o.Key(), id(o.Kind, "default", "b")), registry.ErrNotFound)
	wantErr(t, shared.Confirm(t.Context(), Target("default", "b", "").Key(), ""), registry.ErrNotFound)
}

// confirmDuringDelete: a Confirm between check and deletion has the check run again.
func confirmDuringDelete(t *testing.T, s registry.Store) {
	shared := s.Capabilities().SharedWrites
	if shared == nil {
		return
	}
	o := mustCreate(t, s, Target("default", "a", "staging"))
	checks := 0
	errReferenced := errors.New("referenced")
	err := shared.DeleteIf(t.Context(), o.Key(), 1, func(ctx context.Context) error {
		if checks++; checks > 1 {
			return errReferenced
		}
		return shared.Confirm(ctx, o.Key(), "")
	})
	wantErr(t, err, errReferenced)
	if checks != 2 {
		t.Errorf("%d checks, want 2", checks)
	}
	same(t, mustGet(t, s, o.Key()), o)
}

func unreferenced(context.Context) error { return nil }

// deploymentDefaults: DeploymentDefaults are objects like others, and no Deployments.
func deploymentDefaults(t *testing.T, s registry.Store) {
	o := Target("default", registry.DefaultsName, "")
	o.Kind = registry.DeploymentDefaults
	o.Metadata.ID = id(o.Kind, "default", registry.DefaultsName)
	o.Spec = []byte(`{"deploymentTargetName":"vvp","template":{"spec":{"parallelism":2.0}}}`)
	o = mustCreate(t, s, o)
	same(t, mustGet(t, s, o.Key()), o)
	for kind, want := range map[registry.Kind]int{registry.DeploymentDefaults: 1, registry.Deployment: 0} {
		all, err := s.List(t.Context(), kind, "default", registry.Consistent)
		if err != nil || len(all) != want {
			t.Errorf("%s: got %d objects, %v, want %d", kind, len(all), err, want)
		}
	}
	o.Spec = []byte(`{"template":{}}`)
	o, err := s.Update(t.Context(), o, 1)
	if err != nil {
		t.Fatal(err)
	}
	same(t, mustGet(t, s, o.Key()), o)
	if err := s.Delete(t.Context(), o.Key(), 2); err != nil {
		t.Error(err)
	}
	_, err = s.Get(t.Context(), o.Key(), registry.Consistent)
	wantErr(t, err, registry.ErrNotFound)
}
