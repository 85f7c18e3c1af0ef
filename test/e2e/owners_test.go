package e2e

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/eventually"
	"drey.dev/drey/test/framework/fixtures/crds"
	"drey.dev/drey/webhook/flink"
	"drey.dev/drey/webhook/owners"
)

// TestOwnerChain resolves a chain of owners on a cluster whose custom resources are installed
// after the start of the finder, and the id of a job immediately after its operator has
// written it.
func TestOwnerChain(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t) // without custom resources
	api, err := adminClient(c)
	if err != nil {
		t.Fatal(err)
	}
	finder, err := owners.New(c.Config(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	go finder.Run(t.Context())
	eventually.OK(t, func() error {
		if !finder.Synced() {
			return fmt.Errorf("not synced")
		}
		return nil
	})

	w := &world{Cluster: c, api: api}
	if err := crds.Install(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	namespace := w.Namespace(t)
	create := func(kind, name string, owner *metav1.OwnerReference, spec map[string]any) *unstructured.Unstructured {
		t.Helper()
		o := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
		o.SetAPIVersion(resources[kind].GroupVersion().String())
		o.SetKind(kind)
		o.SetName(name)
		o.SetLabels(map[string]string{"system": "ververica-platform"})
		if owner != nil {
			o.SetOwnerReferences([]metav1.OwnerReference{*owner})
		}
		created, err := w.create(t.Context(), namespace, o.Object)
		if err != nil {
			t.Fatal(err)
		}
		return created
	}
	ref := func(o *unstructured.Unstructured, controller bool) *metav1.OwnerReference {
		return &metav1.OwnerReference{APIVersion: o.GetAPIVersion(), Kind: o.GetKind(), Name: o.GetName(), UID: o.GetUID(), Controller: &controller}
	}
	top := create("FlinkBlueGreenDeployment", "nuts", nil, map[string]any{"template": map[string]any{"spec": map[string]any{"job": map[string]any{}}}})
	child := create("FlinkDeployment", "nuts-blue", ref(top, true), map[string]any{"job": map[string]any{}})
	below := create("Deployment", "nuts-blue", ref(child, false), map[string]any{
		"replicas": int64(0), "selector": map[string]any{"matchLabels": map[string]any{"app": "x"}},
		"template": map[string]any{"metadata": map[string]any{"labels": map[string]any{"app": "x"}}, "spec": map[string]any{"containers": []any{map[string]any{"name": "x", "image": "x"}}}},
	})
	pod := &flink.Object{Kind: "Pod", Namespace: namespace, Labels: map[string]string{"pod-template-hash": "abc"}, OwnerReferences: []flink.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "nuts-blue-abc", UID: "u", Controller: true}}}
	pod.Pod.Labels = pod.Labels

	// The job id is read consistently, so a lookup sees the latest status.
	for i := range 50 {
		id := fmt.Sprintf("%032x", i+1)
		patch := fmt.Sprintf(`{"status":{"jobStatus":{"jobId":%q}}}`, id)
		if _, err := api.Resource(resources["FlinkDeployment"]).Namespace(namespace).Patch(t.Context(), "nuts-blue", types.MergePatchType, []byte(patch), metav1.PatchOptions{}, "status"); err != nil {
			t.Fatal(err)
		}
		relatives, complete := finder.Of(t.Context(), pod)
		if got, want := names(relatives), "Deployment nuts-blue, FlinkDeployment nuts-blue, FlinkBlueGreenDeployment nuts"; got != want || !complete {
			t.Fatalf("round %d: owners: got %s (complete %t), want %s", i, got, complete, want)
		}
		if relatives[1].JobID != id || relatives[1].UID != string(child.GetUID()) || relatives[1].Mode != flink.Application {
			t.Fatalf("round %d: got %+v, want job id %s", i, relatives[1], id)
		}
	}
	if !finder.HasUID(string(below.GetUID())) || finder.HasUID("u") {
		t.Error("HasUID: want true for the Deployment, and false for an unknown uid")
	}
	eventually.OK(t, func() error { // the backoff of a reflector for a missing kind grows to 30 s
		if !finder.HasUID(string(child.GetUID())) {
			return fmt.Errorf("the FlinkDeployment is not in the cache")
		}
		return nil
	})

	stale := *pod
	stale.OwnerReferences = []flink.OwnerReference{{APIVersion: "apps/v1", Kind: "Deployment", Name: "nuts-blue", UID: "another", Controller: true}}
	if relatives, complete := finder.Of(t.Context(), &stale); complete || len(relatives) != 1 || len(relatives[0].Labels) > 0 {
		t.Errorf("owner with another uid: got %v, complete %t, want one relative without labels, incomplete", relatives, complete)
	}
	lone := *pod
	lone.OwnerReferences = []flink.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "lone-abc", UID: "u", Controller: true}}
	if relatives, complete := finder.Of(t.Context(), &lone); complete || names(relatives) != "~ReplicaSet lone-abc" {
		t.Errorf("missing ReplicaSet: got %+v, complete %t, want it unverified, incomplete", relatives, complete)
	}
}

// names lists relatives. A tilde marks an unverified one.
func names(relatives []flink.Owner) string {
	var all []string
	for _, r := range relatives {
		prefix := ""
		if r.Unresolved {
			prefix = "~"
		}
		all = append(all, prefix+r.Kind+" "+r.Name)
	}
	return strings.Join(all, ", ")
}

// TestRolloutOwner has two ReplicaSets of a Rollout, as its controller creates one per
// revision: their pods have the id of the Rollout, which drey has no right to read. A client
// with that right resolves the controller of the Rollout, too.
func TestRolloutOwner(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	namespace := w.Namespace(t)
	w.register(t, "team-a", namespace)
	app := w.createOwned(t, namespace, "Rollout", "shop", nil)
	rollout := w.createOwned(t, namespace, "Rollout", "nuts", app)
	for _, revision := range []string{"5c7d", "6b8f"} {
		labels := map[string]any{"rollouts-pod-template-hash": revision, "component": "jobmanager"}
		set := map[string]any{
			"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": map[string]any{"name": "nuts-" + revision, "labels": labels},
			"spec": map[string]any{
				"replicas": int64(1), "selector": map[string]any{"matchLabels": labels},
				"template": map[string]any{"metadata": map[string]any{"labels": labels}, "spec": map[string]any{"containers": []any{
					map[string]any{"name": "jobmanager", "image": "flink:2.2", "args": []any{"standalone-job"}},
				}}},
			},
		}
		(&unstructured.Unstructured{Object: set}).SetOwnerReferences([]metav1.OwnerReference{*metav1.NewControllerRef(rollout, rollout.GroupVersionKind())})
		if _, err := w.create(t.Context(), namespace, set); err != nil {
			t.Fatal(err)
		}
	}
	var pods []unstructured.Unstructured
	eventually.OK(t, func() error {
		if pods = w.list(t, "Pod", namespace); len(pods) != 2 {
			return fmt.Errorf("pods: got %d, want 2", len(pods))
		}
		return nil
	})
	for _, pod := range pods {
		if got := pod.GetLabels(); got["deploymentId"] != string(rollout.GetUID()) || got["deploymentName"] != "nuts" {
			t.Errorf("labels of pod %s: got %v, want the uid %s and the name of the Rollout", pod.GetName(), got, rollout.GetUID())
		}
	}

	pod := &flink.Object{Kind: "Pod", Namespace: namespace, Labels: pods[0].GetLabels(), OwnerReferences: []flink.OwnerReference{{
		APIVersion: "apps/v1", Kind: "ReplicaSet", Name: pods[0].GetOwnerReferences()[0].Name, UID: string(pods[0].GetOwnerReferences()[0].UID), Controller: true,
	}}}
	pod.Pod.Labels = pod.Labels
	for user, c := range map[string]struct{ grant, want string }{
		"without": {"replicasets.apps", "ReplicaSet " + pod.OwnerReferences[0].Name + ", ~Rollout nuts"},
		"with":    {"replicasets.apps,rollouts.argoproj.io", "ReplicaSet " + pod.OwnerReferences[0].Name + ", Rollout nuts, Rollout shop"},
	} {
		user += "-" + namespace
		config, err := w.NewUser(user)
		if err != nil {
			t.Fatal(err)
		}
		w.MustKubectl(t, "", "create", "role", user, "-n", namespace, "--verb=get", "--resource="+c.grant)
		w.MustKubectl(t, "", "create", "rolebinding", user, "-n", namespace, "--role="+user, "--user="+user)
		eventually.OK(t, func() error { // the authorizer follows RBAC by a watch
			finder, err := owners.New(config, slog.New(slog.DiscardHandler))
			if err != nil {
				return err
			}
			relatives, complete := finder.Of(t.Context(), pod)
			if got := names(relatives); got != c.want || !complete {
				return fmt.Errorf("%s: owners: got %s, complete %t, want %s", user, got, complete, c.want)
			}
			return nil
		})
	}
}

// createOwned creates an object without a spec. owner may be nil.
func (w *world) createOwned(t *testing.T, namespace, kind, name string, owner *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	o := &unstructured.Unstructured{Object: map[string]any{}}
	o.SetAPIVersion(resources[kind].GroupVersion().String())
	o.SetKind(kind)
	o.SetName(name)
	if owner != nil {
		o.SetOwnerReferences([]metav1.OwnerReference{*metav1.NewControllerRef(owner, owner.GroupVersionKind())})
	}
	created, err := w.create(t.Context(), namespace, o.Object)
	if err != nil {
		t.Fatal(err)
	}
	return created
}

// TestOwnerLookupTimeout resolves owners while the API server is unreachable: lookups end with
// their context, incomplete.
func TestOwnerLookupTimeout(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	config := w.Config()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts connections, and sends nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	config.Host = "https://" + silent.Addr().String()
	finder, err := owners.New(config, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	pod := &flink.Object{Kind: "Pod", Namespace: "flink", OwnerReferences: []flink.OwnerReference{{APIVersion: "apps/v1", Kind: "Deployment", Name: "d", UID: "u", Controller: true}}}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	durations := make(chan time.Duration, 100)
	for range cap(durations) {
		go func() {
			if _, complete := finder.Of(ctx, pod); complete {
				t.Error("a lookup without an answer is complete")
			}
			durations <- time.Since(began)
		}()
	}
	var longest time.Duration
	for range cap(durations) {
		select {
		case took := <-durations:
			longest = max(longest, took)
		case <-time.After(eventually.Timeout):
			t.Fatal("a lookup does not end with its context")
		}
	}
	t.Logf("the slowest of %d lookups with a timeout of 200 ms took %s", cap(durations), longest)
}
