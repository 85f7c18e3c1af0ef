package registry_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/memstore"
)

func TestPlatformNamespacesAreThoseThatWereDeclared(t *testing.T) {
	r := newRegistry(t, memstore.New(), "team-a")
	for namespace, want := range map[string]registry.Reason{"default": "", "team-a": "", "team-b": registry.ReasonNotFound, "": registry.ReasonNotFound} {
		_, err := r.List(t.Context(), registry.DeploymentTarget, namespace)
		if got := registry.ReasonOf(err); got != want || (err != nil) != (want != "") {
			t.Errorf("%q: %v", namespace, err)
		}
	}
	if _, err := registry.New(memstore.New(), "drey-system", "No_Label"); registry.ReasonOf(err) != registry.ReasonInvalidName {
		t.Errorf("got %v", err)
	}
}

// TestParallelPutsAllSucceed: a PUT without a precondition means "whatever is
// there", also when others write the same object.
func TestParallelPutsAllSucceed(t *testing.T) {
	r := newRegistry(t, memstore.New())
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			o := target("default", "a", "staging")
			o.Metadata.Labels = map[string]string{"writer": fmt.Sprint(i)}
			if _, _, err := r.Put(context.Background(), o, registry.Precondition{}); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	o, err := r.Get(t.Context(), target("default", "a", "").Key())
	if err != nil || o.Metadata.ResourceVersion < 1 || o.Metadata.ResourceVersion > 8 {
		t.Errorf("%+v, %v", o, err)
	}
}

// TestOfParallelPutsWithOneVersionOneSucceeds: with a precondition, no update
// is lost.
func TestOfParallelPutsWithOneVersionOneSucceeds(t *testing.T) {
	r := newRegistry(t, memstore.New())
	if _, err := r.Create(t.Context(), target("default", "a", "staging")); err != nil {
		t.Fatal(err)
	}
	results := make(chan error)
	for i := range 8 {
		go func() {
			o := target("default", "a", "staging")
			o.Metadata.Labels = map[string]string{"writer": fmt.Sprint(i)}
			_, _, err := r.Put(context.Background(), o, registry.Precondition{Version: 1})
			results <- err
		}()
	}
	succeeded := 0
	for range 8 {
		switch err := <-results; {
		case err == nil:
			succeeded++
		case registry.ReasonOf(err) != registry.ReasonConflict:
			t.Error(err)
		}
	}
	if succeeded != 1 {
		t.Errorf("%d succeeded, want 1", succeeded)
	}
}

// TestIndexAgreesWithTheStore makes random changes, and compares the index with
// what a scan of the store finds.
func TestIndexAgreesWithTheStore(t *testing.T) {
	store := memstore.New()
	r := newRegistry(t, store, "team-a", "team-b")
	early := registry.NewIndex("drey-system")
	if early.Synced() {
		t.Error("an index that follows nothing says that it is synced")
	}
	follow(t, early, store)
	rng := rand.New(rand.NewPCG(5, 6))
	pick := func(list ...string) string { return list[rng.IntN(len(list))] }
	for range 3000 {
		o := target(pick("default", "team-a", "team-b"), pick("a", "b", "A", "a-b"), pick("staging", "prod", "", "drey-system"))
		switch rng.IntN(3) {
		case 0:
			_, _ = r.Create(t.Context(), o)
		case 1:
			o.Metadata.Labels = map[string]string{"n": fmt.Sprint(rng.Int())}
			_, _, _ = r.Put(t.Context(), o, registry.Precondition{})
		case 2:
			_, _ = r.Delete(t.Context(), o.Key(), registry.Precondition{})
		}
		compare(t, early, store)
	}
	late := registry.NewIndex("drey-system")
	follow(t, late, store)
	compare(t, late, store)
}

func compare(t *testing.T, x *registry.Index, store registry.Store) {
	t.Helper()
	objects, err := store.List(t.Context(), registry.DeploymentTarget, "")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{"staging": nil, "prod": nil, "drey-system": nil}
	for _, o := range objects {
		var spec registry.TargetSpec
		if err := json.Unmarshal(o.Spec, &spec); err != nil {
			t.Fatal(err)
		}
		namespace := spec.Kubernetes.Namespace
		if namespace == "" {
			namespace = "drey-system"
		}
		want[namespace] = append(want[namespace], o.Metadata.Namespace+"/"+o.Metadata.Name)
	}
	for namespace, names := range want {
		var got []string
		for _, found := range x.Targets(namespace) {
			got = append(got, found.String())
		}
		if !slices.Equal(got, names) {
			t.Fatalf("%s has %v by the index, %v by the store", namespace, got, names)
		}
	}
	if x.Len() != len(objects) {
		t.Fatalf("Len() is %d, want %d", x.Len(), len(objects))
	}
}

// TestAListThatAReaderHoldsDoesNotChange: admission reads without a lock of its
// own.
func TestAListThatAReaderHoldsDoesNotChange(t *testing.T) {
	store := memstore.New()
	r := newRegistry(t, store)
	x := registry.NewIndex("drey-system")
	follow(t, x, store)
	for _, name := range []string{"b", "c"} {
		if _, err := r.Create(t.Context(), target("default", name, "staging")); err != nil {
			t.Fatal(err)
		}
	}
	held := x.Targets("staging")
	before := fmt.Sprint(held)
	if _, err := r.Create(t.Context(), target("default", "a", "staging")); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Delete(t.Context(), target("default", "b", "").Key(), registry.Precondition{}); err != nil {
		t.Fatal(err)
	}
	if after := fmt.Sprint(held); after != before {
		t.Errorf("it was %s and became %s", before, after)
	}
}

func TestWarningsAboutThePlatformsOwnNamespace(t *testing.T) {
	r := newRegistry(t, memstore.New())
	for namespace, want := range map[string]bool{"": true, "drey-system": true, "staging": false} {
		o, err := r.Create(t.Context(), target("default", "t-"+namespace, namespace))
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Warnings(o); (len(got) == 1) != want || want && !strings.Contains(got[0], "drey-system") {
			t.Errorf("%q: %q", namespace, got)
		}
	}
}

func BenchmarkIndexTargets(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		b.Run(fmt.Sprintf("targets=%d", n), func(b *testing.B) {
			store := memstore.New()
			for i := range n {
				if _, err := store.Create(b.Context(), target("default", fmt.Sprint("t", i), fmt.Sprint("ns", i))); err != nil {
					b.Fatal(err)
				}
			}
			x := registry.NewIndex("drey-system")
			follow(b, x, store)
			b.ReportAllocs()
			for b.Loop() {
				if len(x.Targets("ns7")) != 1 {
					b.Fatal("not found")
				}
			}
		})
	}
}

func newRegistry(t testing.TB, s registry.Store, platformNamespaces ...string) *registry.Registry {
	t.Helper()
	r, err := registry.New(s, "drey-system", platformNamespaces...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func follow(t testing.TB, x *registry.Index, s registry.Store) {
	t.Helper()
	if err := x.Follow(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if !x.Synced() {
		t.Error("an index that follows a store is not synced")
	}
}

func target(namespace, name, kubernetesNamespace string) registry.Object {
	spec, err := json.Marshal(registry.TargetSpec{Kubernetes: &registry.TargetKubernetes{Namespace: kubernetesNamespace}})
	if err != nil {
		panic(err)
	}
	return registry.Object{Kind: registry.DeploymentTarget, Metadata: registry.Metadata{Namespace: namespace, Name: name}, Spec: spec}
}
