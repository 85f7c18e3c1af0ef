package kubestore_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/kubestore"
	"drey.dev/drey/registry/storetest"
	"drey.dev/drey/test/framework/eventually"
)

// replica returns a registry with a store of its own.
func (w *world) replica(t *testing.T) *registry.Registry {
	t.Helper()
	r, err := registry.New(t.Context(), w.reporting(t, kubestore.Options{}), registry.Options{OwnNamespace: "drey-system"})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestDeleteTargetConcurrentReference deletes a target through one replica while another
// one creates or moves a Deployment to it, at varying offsets. Never do both succeed.
func TestDeleteTargetConcurrentReference(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	a, b := w.replica(t), w.replica(t)
	ns := w.Namespace(t)
	home := storetest.Target(ns, "home", "flink")
	w.MustKubectl(t, targetYAML("home", "", "flink"), "apply", "-n", ns, "-f", "-")
	get(t, w.open(t, kubestore.Options{}), home.Key(), anything)
	eventually.OK(t, func() error {
		_, errA := a.GetNamespace(t.Context(), ns, registry.Cached)
		_, errB := b.GetNamespace(t.Context(), ns, registry.Cached)
		return errors.Join(errA, errB)
	})
	deployment := func(name, target string) registry.Object {
		return registry.Object{Kind: registry.Deployment, Metadata: registry.Metadata{Namespace: ns, Name: name}, Spec: json.RawMessage(fmt.Sprintf(`{"deploymentTargetName":%q}`, target))}
	}
	deletion := time.Minute // the shortest one
	for range 3 {
		measured := storetest.Target(ns, "measured", "flink")
		if _, err := a.Create(t.Context(), measured, nil); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err := b.Delete(t.Context(), measured.Key(), registry.Precondition{}); err != nil {
			t.Fatal(err)
		}
		deletion = min(deletion, time.Since(began))
	}
	created, deleted, rejected := 0, 0, 0
	const rounds = 40
	for i := range rounds {
		name := fmt.Sprintf("t%d", i)
		target := storetest.Target(ns, name, "flink")
		if _, err := a.Create(t.Context(), target, nil); err != nil {
			t.Fatal(err)
		}
		moves := i%2 == 1
		if moves {
			if _, err := b.Create(t.Context(), deployment(name, "home"), nil); err != nil {
				t.Fatal(err)
			}
		}
		var wait sync.WaitGroup
		var createErr, deleteErr error
		wait.Go(func() {
			time.Sleep(2 * deletion * time.Duration(i/2) / (rounds/2 - 1))
			if moves {
				_, _, createErr = a.Put(t.Context(), deployment(name, name), registry.Precondition{}, nil)
			} else {
				_, createErr = a.Create(t.Context(), deployment(name, name), nil)
			}
		})
		wait.Go(func() {
			_, deleteErr = b.Delete(t.Context(), target.Key(), registry.Precondition{})
		})
		wait.Wait()
		if createErr == nil && deleteErr == nil {
			t.Fatalf("round %d: both writes succeeded", i)
		}
		_, noTarget := a.Get(t.Context(), target.Key(), registry.Consistent)
		d, noDeployment := a.Get(t.Context(), deployment(name, name).Key(), registry.Consistent)
		refers := noDeployment == nil && string(d.Spec) == string(deployment("", name).Spec)
		if refers && noTarget != nil {
			t.Fatalf("round %d: %s refers to a deleted target; create: %v; delete: %v", i, d.Spec, createErr, deleteErr)
		}
		if createErr != nil && registry.ReasonOf(createErr) != registry.ReasonUnknownReference || deleteErr != nil && registry.ReasonOf(deleteErr) != registry.ReasonTargetReferenced {
			t.Errorf("round %d: create: %v; delete: %v", i, createErr, deleteErr)
		}
		if createErr == nil {
			created++
		}
		if deleteErr == nil {
			deleted++
		}
		if createErr != nil && noDeployment != nil {
			rejected++
		}
	}
	t.Logf("a deletion took %s; %d created or moved, %d deleted, %d rejected or rolled back", deletion.Round(time.Millisecond), created, deleted, rejected)
	if created == 0 || deleted == 0 {
		t.Errorf("got %d created, %d deleted, want some of both", created, deleted)
	}
}

// TestCreateDuringNamespaceDeletion creates an object while its platform namespace is deleted, by
// the same process and by another. A created object keeps its platform namespace.
func TestCreateDuringNamespaceDeletion(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	a, b := w.replica(t), w.replica(t)
	ns := w.Namespace(t)
	deletion := time.Minute // how long one takes, at best
	for range 3 {
		if _, err := a.CreateNamespace(t.Context(), ns); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, _, err := a.DeleteNamespace(t.Context(), ns); err != nil {
			t.Fatal(err)
		}
		deletion = min(deletion, time.Since(began))
	}
	both := 0
	const rounds = 40
	for i := range rounds {
		if _, err := a.CreateNamespace(t.Context(), ns); err != nil && registry.ReasonOf(err) != registry.ReasonAlreadyExists {
			t.Fatal(err)
		}
		creator := []*registry.Registry{a, b}[i%2]
		o := storetest.Target(ns, "a", "flink")
		var wait sync.WaitGroup
		var createErr, deleteErr error
		wait.Go(func() {
			time.Sleep(deletion * time.Duration(i) / rounds)
			_, createErr = creator.Create(t.Context(), o, nil)
		})
		wait.Go(func() { _, _, deleteErr = a.DeleteNamespace(t.Context(), ns) })
		wait.Wait()
		if createErr != nil && registry.ReasonOf(createErr) != registry.ReasonNotFound || deleteErr != nil && registry.ReasonOf(deleteErr) != registry.ReasonNamespaceInUse {
			t.Fatalf("round %d: create: %v; delete: %v", i, createErr, deleteErr)
		}
		if createErr != nil {
			continue
		}
		if deleteErr == nil {
			both++
		}
		for _, r := range []*registry.Registry{a, b} {
			_, err := r.GetNamespace(t.Context(), ns, registry.Consistent)
			if _, objectErr := r.Get(t.Context(), o.Key(), registry.Consistent); err != nil || objectErr != nil {
				t.Fatalf("round %d: the platform namespace: %v; the object: %v", i, err, objectErr)
			}
			if _, _, err := r.DeleteNamespace(t.Context(), ns); registry.ReasonOf(err) != registry.ReasonNamespaceInUse {
				t.Fatalf("round %d: the platform namespace is deleted with an object in it: %v", i, err)
			}
		}
		if _, err := a.Delete(t.Context(), o.Key(), registry.Precondition{}); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("a deletion took %s; %d times both succeeded", deletion.Round(time.Millisecond), both)
}

// TestDeleteIfConcurrentReference confirms a reference during the check of DeleteIf, which
// checks again, and handles leftover marks of a crashed deletion.
func TestDeleteIfConcurrentReference(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	s, other := w.open(t, kubestore.Options{}), w.open(t, kubestore.Options{})
	ns := w.Namespace(t)
	o, err := s.Create(t.Context(), storetest.Target(ns, "a", "flink"))
	if err != nil {
		t.Fatal(err)
	}
	errReferenced := errors.New("referenced")
	checks := 0
	err = s.DeleteIf(t.Context(), o.Key(), 1, func(ctx context.Context) error {
		if checks++; checks > 1 {
			return errReferenced
		}
		return other.Confirm(ctx, o.Key(), o.Metadata.ID) // a reference right after the check
	})
	if !errors.Is(err, errReferenced) || checks != 2 {
		t.Errorf("got %v after %d checks, want errReferenced after 2", err, checks)
	}
	if got, err := s.Get(t.Context(), o.Key(), registry.Consistent); err != nil || got.Metadata.ResourceVersion != 1 {
		t.Errorf("after the denied deletion: got %+v, %v, want version 1", got.Metadata, err)
	}
	if out := w.MustKubectl(t, "", "get", "dt", "a", "-n", ns, "-o", "jsonpath={.status.deleting}"); out != "" {
		t.Errorf("got status.deleting %q, want none", out)
	}

	t.Run("leftover mark does not block", func(t *testing.T) {
		w.MustKubectl(t, "", "patch", "dt", "a", "-n", ns, "--subresource=status", "--type=merge", "-p", `{"status":{"deleting":"dead"}}`)
		if err := other.Confirm(t.Context(), o.Key(), ""); err != nil {
			t.Error(err)
		}
		w.MustKubectl(t, "", "patch", "dt", "a", "-n", ns, "--subresource=status", "--type=merge", "-p", `{"status":{"deleting":"dead"}}`)
		if err := s.DeleteIf(t.Context(), o.Key(), 1, func(context.Context) error { return nil }); err != nil {
			t.Error(err)
		}
	})
	t.Run("deleted object is not found", func(t *testing.T) {
		if err := other.Confirm(t.Context(), o.Key(), ""); !errors.Is(err, registry.ErrNotFound) {
			t.Error(err)
		}
		if err := s.DeleteIf(t.Context(), o.Key(), 1, func(context.Context) error { return nil }); !errors.Is(err, registry.ErrNotFound) {
			t.Error(err)
		}
	})
	t.Run("id of a former object is not found", func(t *testing.T) {
		again := storetest.Target(ns, "a", "flink")
		again.Metadata.ID = "33333333-2222-4333-8444-555555555555"
		if _, err := s.Create(t.Context(), again); err != nil {
			t.Fatal(err)
		}
		if err := other.Confirm(t.Context(), o.Key(), o.Metadata.ID); !errors.Is(err, registry.ErrNotFound) {
			t.Error(err)
		}
	})
	t.Run("stale version is a conflict", func(t *testing.T) {
		if err := s.DeleteIf(t.Context(), o.Key(), 7, func(context.Context) error { return nil }); !errors.Is(err, registry.ErrConflict) {
			t.Error(err)
		}
	})
}

// TestPlatformNamespaceConsistentReads creates and deletes a platform namespace through one
// replica, and uses it through another one at once.
func TestPlatformNamespaceConsistentReads(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	a, b := w.replica(t), w.replica(t)
	for range 10 {
		name := w.Namespace(t)
		target := storetest.Target(name, "t", "flink")
		for _, step := range []struct {
			name string
			do   func() error
			want registry.Reason
		}{
			{"use before create", func() error { _, err := b.Create(t.Context(), target, nil); return err }, registry.ReasonNotFound},
			{"create", func() error { _, err := a.CreateNamespace(t.Context(), name); return err }, ""},
			{"create through the other replica", func() error { _, err := b.CreateNamespace(t.Context(), name); return err }, registry.ReasonAlreadyExists},
			{"use through the other replica", func() error { _, err := b.Create(t.Context(), target, nil); return err }, ""},
			{"delete in use", func() error { _, _, err := a.DeleteNamespace(t.Context(), name); return err }, registry.ReasonNamespaceInUse},
			{"delete the target", func() error { _, err := a.Delete(t.Context(), target.Key(), registry.Precondition{}); return err }, ""},
			{"delete through the other replica", func() error { _, _, err := b.DeleteNamespace(t.Context(), name); return err }, ""},
			{"delete again", func() error { _, _, err := a.DeleteNamespace(t.Context(), name); return err }, registry.ReasonNotFound},
			{"create again", func() error { _, err := a.CreateNamespace(t.Context(), name); return err }, ""},
		} {
			if err := step.do(); registry.ReasonOf(err) != step.want || step.want == "" && err != nil {
				t.Fatalf("%s: got %v, want %q", step.name, err, step.want)
			}
		}
	}
}

// TestPlatformNamespaceFromKubectl applies a target with kubectl, and reads its namespace at
// once.
func TestPlatformNamespaceFromKubectl(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	b := w.replica(t)
	for range 5 {
		name := w.Namespace(t)
		w.MustKubectl(t, targetYAML("by-kubectl", "", "flink"), "apply", "-n", name, "-f", "-")
		if _, err := b.GetNamespace(t.Context(), name, registry.Cached); err != nil {
			t.Fatal(err)
		}
	}
}
