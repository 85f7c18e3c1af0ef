package registry_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/memstore"
)

// TestUnknownPlatformNamespace: objects need an existing platform namespace.
func TestUnknownPlatformNamespace(t *testing.T) {
	r := newRegistry(t, memstore.New(), "team-a")
	for namespace, want := range map[string]registry.Reason{"default": "", "team-a": "", "team-b": registry.ReasonNotFound, "": registry.ReasonNotFound} {
		_, err := r.List(t.Context(), registry.DeploymentTarget, namespace, nil)
		if got := registry.ReasonOf(err); got != want || (err != nil) != (want != "") {
			t.Errorf("%q: %v", namespace, err)
		}
		if err != nil && strings.Contains(err.Error(), "team-a") {
			t.Errorf("%q: who asks is told of another: %v", namespace, err)
		}
	}
	if _, err := registry.New(t.Context(), memstore.New(), registry.Options{Namespaces: []string{"No_Label"}}); registry.ReasonOf(err) != registry.ReasonInvalidName {
		t.Errorf("got %v", err)
	}
}

// TestPutParallel: parallel PUTs without a precondition all succeed.
func TestPutParallel(t *testing.T) {
	r := newRegistry(t, memstore.New())
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			o := target("default", "a", "staging")
			o.Metadata.Labels = map[string]string{"writer": fmt.Sprint(i)}
			if _, _, err := r.Put(context.Background(), o, registry.Precondition{}, nil); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	o, err := r.Get(t.Context(), target("default", "a", "").Key(), registry.Cached)
	if err != nil || o.Metadata.ResourceVersion < 1 || o.Metadata.ResourceVersion > 8 {
		t.Errorf("%+v, %v", o, err)
	}
}

// TestPutParallelPrecondition: of parallel PUTs with the same precondition, one succeeds.
func TestPutParallelPrecondition(t *testing.T) {
	r := newRegistry(t, memstore.New())
	if _, err := r.Create(t.Context(), target("default", "a", "staging"), nil); err != nil {
		t.Fatal(err)
	}
	results := make(chan error)
	for i := range 8 {
		go func() {
			o := target("default", "a", "staging")
			o.Metadata.Labels = map[string]string{"writer": fmt.Sprint(i)}
			_, _, err := r.Put(context.Background(), o, registry.Precondition{Version: 1}, nil)
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

// TestIndexConsistent: after random changes, the index equals a scan of the store.
func TestIndexConsistent(t *testing.T) {
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
			_, _ = r.Create(t.Context(), o, nil)
		case 1:
			o.Metadata.Labels = map[string]string{"n": fmt.Sprint(rng.Int())}
			_, _, _ = r.Put(t.Context(), o, registry.Precondition{}, nil)
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
	objects, err := store.List(t.Context(), registry.DeploymentTarget, "", registry.Cached)
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

// TestIndexTargetsImmutable: a returned list does not change: readers hold no lock.
func TestIndexTargetsImmutable(t *testing.T) {
	store := memstore.New()
	r := newRegistry(t, store)
	x := registry.NewIndex("drey-system")
	follow(t, x, store)
	for _, name := range []string{"b", "c"} {
		if _, err := r.Create(t.Context(), target("default", name, "staging"), nil); err != nil {
			t.Fatal(err)
		}
	}
	held := x.Targets("staging")
	before := fmt.Sprint(held)
	if _, err := r.Create(t.Context(), target("default", "a", "staging"), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Delete(t.Context(), target("default", "b", "").Key(), registry.Precondition{}); err != nil {
		t.Fatal(err)
	}
	if after := fmt.Sprint(held); after != before {
		t.Errorf("it was %s and became %s", before, after)
	}
}

// TestWarningsOwnNamespace: a target of drey's own namespace has a warning.
func TestWarningsOwnNamespace(t *testing.T) {
	r := newRegistry(t, memstore.New())
	for namespace, want := range map[string]bool{"": true, "drey-system": true, "staging": false} {
		o, err := r.Create(t.Context(), target("default", "t-"+namespace, namespace), nil)
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
	r, err := registry.New(t.Context(), s, registry.Options{OwnNamespace: "drey-system", Namespaces: platformNamespaces})
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

// TestDeleteTargetRace: of the creation of a Deployment and the deletion of its target, the
// second is refused, in 1,000 races.
func TestDeleteTargetRace(t *testing.T) {
	r := newRegistry(t, memstore.New())
	alone := target("default", "alone", "staging")
	deletion := time.Minute // the shortest one
	for range 10 {
		if _, err := r.Create(t.Context(), alone, nil); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err := r.Delete(t.Context(), alone.Key(), registry.Precondition{}); err != nil {
			t.Fatal(err)
		}
		deletion = min(deletion, time.Since(began))
	}
	outcomes := map[string]int{}
	for i := range 1000 {
		staging := target("default", fmt.Sprint("staging-", i), "staging")
		if _, err := r.Create(t.Context(), staging, nil); err != nil {
			t.Fatal(err)
		}
		deployment := registry.Object{
			Kind:     registry.Deployment,
			Metadata: registry.Metadata{Namespace: "default", Name: fmt.Sprint("d-", i)},
			Spec:     json.RawMessage(fmt.Sprintf(`{"deploymentTargetName":"staging-%d"}`, i)),
		}
		var created, deleted error
		var both sync.WaitGroup
		racers := []func(){
			func() {
				if i%4 >= 2 { // a deletion looks first at what runs: it would come second always on a slow machine
					time.Sleep(rand.N(2 * deletion))
				}
				_, created = r.Create(t.Context(), deployment, nil)
			},
			func() { _, deleted = r.Delete(t.Context(), staging.Key(), registry.Precondition{}) },
		}
		both.Go(racers[i%2]) // the one that is started last tends to be first
		both.Go(racers[1-i%2])
		both.Wait()
		switch {
		case created == nil && registry.ReasonOf(deleted) == registry.ReasonTargetReferenced:
			outcomes["created"]++
		case deleted == nil && registry.ReasonOf(created) == registry.ReasonUnknownReference:
			outcomes["deleted"]++
		default:
			t.Fatalf("race %d: create %v, delete %v", i, created, deleted)
		}
		if created == nil { // or the list of what to look through grows
			if _, err := r.Delete(t.Context(), deployment.Key(), registry.Precondition{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("%v", outcomes)
	if len(outcomes) != 2 {
		t.Errorf("the same one always won: there was no race: %v", outcomes)
	}
}

// runs is a cluster in which one workload runs; the zero value one that does
// not answer.
type runs struct{ kubernetesNamespace, platformNamespace string }

func (r runs) Running(_ context.Context, kubernetesNamespace, platformNamespace string) ([]registry.Reference, error) {
	if r == (runs{}) {
		return nil, errors.New("connection refused")
	}
	if r != (runs{kubernetesNamespace, platformNamespace}) {
		return nil, nil
	}
	return []registry.Reference{{Kind: "Pod", Name: "top-speed-taskmanager-1-1"}}, nil
}

func (r runs) Jobs(_ context.Context, kubernetesNamespaces []string, platformNamespace string) ([]registry.RunningJob, error) {
	if len(kubernetesNamespaces) != 1 || r != (runs{kubernetesNamespaces[0], platformNamespace}) {
		return nil, nil
	}
	return []registry.RunningJob{{ID: "job-1", DeploymentID: "id-1"}, {ID: "job-0"}}, nil
}

func (r runs) Usage(context.Context) (map[string]registry.Usage, error) { return nil, nil }

// TestJobs: jobs are those in the targets of the platform namespace.
func TestJobs(t *testing.T) {
	r, err := registry.New(t.Context(), memstore.New(), registry.Options{OwnNamespace: "drey-system", Namespaces: []string{"team-a"}, Workloads: runs{"staging", "team-a"}})
	if err != nil {
		t.Fatal(err)
	}
	jobs := func(namespace, deployment string) string {
		t.Helper()
		all, err := r.Jobs(t.Context(), namespace, deployment)
		if err != nil || all == nil {
			t.Fatal(all, err)
		}
		var ids []string
		for _, o := range all {
			ids = append(ids, o.Metadata.ID)
		}
		return strings.Join(ids, " ")
	}
	if got := jobs("team-a", ""); got != "" {
		t.Errorf("without a target: %s", got)
	}
	for _, o := range []registry.Object{target("team-a", "one", "staging"), target("team-a", "two", "staging"), target("default", "three", "staging")} {
		if _, err := r.Create(t.Context(), o, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ namespace, deployment, want string }{{"team-a", "", "job-0 job-1"}, {"team-a", "id-1", "job-1"}, {"team-a", "id-2", ""}, {"default", "", ""}} {
		if got := jobs(c.namespace, c.deployment); got != c.want {
			t.Errorf("%v: got %q", c, got)
		}
	}
	if o, err := r.GetJob(t.Context(), "team-a", "job-1"); err != nil || string(o.Spec) != `{"deploymentId":"id-1"}` {
		t.Errorf("%s, %v", o.Spec, err)
	}
	if _, err := r.GetJob(t.Context(), "default", "job-1"); registry.ReasonOf(err) != registry.ReasonNotFound {
		t.Errorf("got %v", err)
	}
}

// TestDeleteTargetWorkloads: a workload of its platform namespace prevents the deletion of a
// target, unless another target points there.
func TestDeleteTargetWorkloads(t *testing.T) {
	r, err := registry.New(t.Context(), memstore.New(), registry.Options{OwnNamespace: "drey-system", Namespaces: []string{"team-a"}, Workloads: runs{"staging", "team-a"}})
	if err != nil {
		t.Fatal(err)
	}
	create := func(namespace, name, kubernetes string) registry.Key {
		t.Helper()
		o, err := r.Create(t.Context(), target(namespace, name, kubernetes), nil)
		if err != nil {
			t.Fatal(err)
		}
		return o.Key()
	}
	first := create("team-a", "first", "staging")
	second := create("team-a", "second", "staging")
	elsewhere := create("team-a", "elsewhere", "prod")
	others := create("default", "others", "staging")
	for _, key := range []registry.Key{elsewhere, others, first} { // second still holds it
		if _, err := r.Delete(t.Context(), key, registry.Precondition{}); err != nil {
			t.Errorf("%v: %v", key, err)
		}
	}
	_, err = r.Delete(t.Context(), second, registry.Precondition{})
	if registry.ReasonOf(err) != registry.ReasonTargetReferenced || !strings.Contains(err.Error(), `Pod "top-speed-taskmanager-1-1"`) {
		t.Errorf("got %v", err)
	}
}

// TestDeleteTargetClusterUnavailable: a target is not deleted while workloads cannot be listed.
func TestDeleteTargetClusterUnavailable(t *testing.T) {
	r, err := registry.New(t.Context(), memstore.New(), registry.Options{Workloads: runs{}})
	if err != nil {
		t.Fatal(err)
	}
	o, err := r.Create(t.Context(), target("default", "a", "staging"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Delete(t.Context(), o.Key(), registry.Precondition{}); registry.ReasonOf(err) != registry.ReasonClusterUnavailable || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("got %v", err)
	}
	if _, err := r.Get(t.Context(), o.Key(), registry.Cached); err != nil {
		t.Error(err)
	}
}

// TestDeleteSessionClusterReferenced: references by name, id and free text prevent the deletion
// of a session cluster.
func TestDeleteSessionClusterReferenced(t *testing.T) {
	r := newRegistry(t, memstore.New())
	create := func(kind registry.Kind, name, spec string) registry.Object {
		t.Helper()
		o, err := r.Create(t.Context(), registry.Object{Kind: kind, Metadata: registry.Metadata{Namespace: registry.DefaultNamespace, Name: name}, Spec: json.RawMessage(spec)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	cluster := create(registry.SessionCluster, "My Sessions", "{}")
	for _, called := range []string{cluster.Metadata.Name, cluster.Metadata.DisplayName, cluster.Metadata.ID} {
		d := create(registry.Deployment, "job", `{"sessionClusterName":"`+called+`"}`)
		if _, err := r.Delete(t.Context(), cluster.Key(), registry.Precondition{}); registry.ReasonOf(err) != registry.ReasonSessionClusterReferenced {
			t.Fatalf("referred to as %q, its deletion got %v", called, err)
		}
		if _, err := r.Delete(t.Context(), d.Key(), registry.Precondition{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Delete(t.Context(), cluster.Key(), registry.Precondition{}); err != nil {
		t.Errorf("nothing refers to it any more: %v", err)
	}
}
