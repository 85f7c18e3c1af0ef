package e2e

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/eventually"
	"drey.dev/drey/webhook/flink"
	"drey.dev/drey/webhook/owners"
)

// crd is the definition of a custom resource of Flink's, as far as drey reads it.
func crd(c flink.CustomResource) string {
	return fmt.Sprintf(`
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %[1]s.%[2]s, annotations: {api-approved.kubernetes.io: "unapproved, as those of these operators are"}}
spec:
  group: %[2]s
  names: {kind: %[3]s, plural: %[1]s}
  scope: Namespaced
  versions:
    - name: %[4]s
      served: true
      storage: true
      subresources: {status: {}}
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
---
`, c.Resource, c.Group, c.Kind, c.Version)
}

var (
	flinkDeployments = schema.GroupVersionResource{Group: "flink.apache.org", Version: "v1beta1", Resource: "flinkdeployments"}
	blueGreens       = schema.GroupVersionResource{Group: "flink.apache.org", Version: "v1beta1", Resource: "flinkbluegreendeployments"}
)

// TestOwnerChain follows a chain of owners on a cluster whose operator is
// installed while drey runs, and a job that has just got another id.
func TestOwnerChain(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t)
	api, err := dynamic.NewForConfig(c.Config())
	if err != nil {
		t.Fatal(err)
	}
	finder, err := owners.New(c.Config(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	go finder.Run(t.Context())
	eventually.OK(t, 20*time.Second, func() error {
		if !finder.Synced() {
			return fmt.Errorf("not synced")
		}
		return nil
	})

	w := &world{Cluster: c, api: api}
	for _, kind := range flink.CustomResources {
		w.MustKubectl(t, crd(kind), "apply", "-f", "-")
	}
	w.MustKubectl(t, "", "wait", "--for=condition=Established", "crd", "--all", "--timeout=20s")
	namespace := w.Namespace(t)
	create := func(resource schema.GroupVersionResource, apiVersion, kind, name string, owner *metav1.OwnerReference, spec map[string]any) *unstructured.Unstructured {
		t.Helper()
		o := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
		o.SetAPIVersion(apiVersion)
		o.SetKind(kind)
		o.SetName(name)
		o.SetLabels(map[string]string{"system": "ververica-platform"})
		if owner != nil {
			o.SetOwnerReferences([]metav1.OwnerReference{*owner})
		}
		made, err := api.Resource(resource).Namespace(namespace).Create(t.Context(), o, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	ref := func(o *unstructured.Unstructured, controller bool) *metav1.OwnerReference {
		return &metav1.OwnerReference{APIVersion: o.GetAPIVersion(), Kind: o.GetKind(), Name: o.GetName(), UID: o.GetUID(), Controller: &controller}
	}
	group := "flink.apache.org/v1beta1"
	top := create(blueGreens, group, "FlinkBlueGreenDeployment", "nuts", nil, map[string]any{"template": map[string]any{"spec": map[string]any{"job": map[string]any{}}}})
	child := create(flinkDeployments, group, "FlinkDeployment", "nuts-blue", ref(top, true), map[string]any{"job": map[string]any{}})
	below := create(resources["Deployment"], "apps/v1", "Deployment", "nuts-blue", ref(child, false), map[string]any{
		"replicas": int64(0), "selector": map[string]any{"matchLabels": map[string]any{"app": "x"}},
		"template": map[string]any{"metadata": map[string]any{"labels": map[string]any{"app": "x"}}, "spec": map[string]any{"containers": []any{map[string]any{"name": "x", "image": "x"}}}},
	})
	pod := &flink.Object{Kind: "Pod", Namespace: namespace, Labels: map[string]string{"pod-template-hash": "abc"}, OwnerReferences: []flink.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "nuts-blue-abc", UID: "u", Controller: true}}}
	pod.Pod.Labels = pod.Labels

	// The id of the job that the operator wrote a moment ago is the one that counts.
	for i := range 50 {
		id := fmt.Sprintf("%032x", i+1)
		patch := fmt.Sprintf(`{"status":{"jobStatus":{"jobId":%q}}}`, id)
		if _, err := api.Resource(flinkDeployments).Namespace(namespace).Patch(t.Context(), "nuts-blue", types.MergePatchType, []byte(patch), metav1.PatchOptions{}, "status"); err != nil {
			t.Fatal(err)
		}
		relatives, complete := finder.Of(t.Context(), pod)
		if got, want := names(relatives), "Deployment nuts-blue, FlinkDeployment nuts-blue, FlinkBlueGreenDeployment nuts"; got != want || !complete {
			t.Fatalf("round %d: owners %s (complete %t), want %s", i, got, complete, want)
		}
		if relatives[1].JobID != id || relatives[1].UID != string(child.GetUID()) || relatives[1].Mode != flink.Application {
			t.Fatalf("round %d: %+v, want job %s", i, relatives[1], id)
		}
	}
	if !finder.HasUID(string(below.GetUID())) || finder.HasUID("u") {
		t.Error("what lives is not known, or what does not is")
	}
	eventually.OK(t, 40*time.Second, func() error { // a reflector tries a kind that was absent every half a minute at last
		if !finder.HasUID(string(child.GetUID())) {
			return fmt.Errorf("the FlinkDeployment is not followed")
		}
		return nil
	})

	stale := *pod
	stale.OwnerReferences = []flink.OwnerReference{{APIVersion: "apps/v1", Kind: "Deployment", Name: "nuts-blue", UID: "another", Controller: true}}
	if relatives, complete := finder.Of(t.Context(), &stale); complete || len(relatives) != 1 || len(relatives[0].Labels) > 0 {
		t.Errorf("an owner with another uid: %v, complete %t", relatives, complete)
	}
	lone := *pod
	lone.OwnerReferences = []flink.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "lone-abc", UID: "u", Controller: true}}
	if relatives, complete := finder.Of(t.Context(), &lone); complete || names(relatives) != "~ReplicaSet lone-abc" {
		t.Errorf("a ReplicaSet that is not there: %+v, complete %t", relatives, complete)
	}
}

func names(relatives []flink.Owner) string {
	var all []string
	for _, r := range relatives {
		mark := ""
		if r.Unresolved {
			mark = "~"
		}
		all = append(all, mark+r.Kind+" "+r.Name)
	}
	return strings.Join(all, ", ")
}

// TestRolloutOwner has two ReplicaSets of a Rollout make pods, as its
// controller does at each revision. Drey has no right to read Rollouts at first. Then
// somebody grants that to a reader, who finds what controls the Rollout.
func TestRolloutOwner(t *testing.T) {
	w := inWorld(t)
	t.Parallel()
	namespace := w.Namespace(t)
	w.register(t, "team-a", namespace)
	app := w.owned(t, namespace, "Rollout", "shop", nil)
	rollout := w.owned(t, namespace, "Rollout", "nuts", app)
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
	eventually.OK(t, 20*time.Second, func() error {
		if pods = w.list(t, "Pod", namespace); len(pods) != 2 {
			return fmt.Errorf("%d pods, want 2", len(pods))
		}
		return nil
	})
	for _, pod := range pods {
		if got := pod.GetLabels(); got["deploymentId"] != string(rollout.GetUID()) || got["deploymentName"] != "nuts" {
			t.Errorf("pod %s has the labels %v, want the Rollout's uid %s and name", pod.GetName(), got, rollout.GetUID())
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
		eventually.OK(t, 10*time.Second, func() error { // RBAC is read by a watch
			finder, err := owners.New(config, slog.New(slog.DiscardHandler))
			if err != nil {
				return err
			}
			relatives, complete := finder.Of(t.Context(), pod)
			if got := names(relatives); got != c.want || !complete {
				return fmt.Errorf("%s: owners %s, complete %t; want %s", user, got, complete, c.want)
			}
			return nil
		})
	}
}

// owned creates an object without a spec. owner may be nil.
func (w *world) owned(t *testing.T, namespace, kind, name string, owner *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	o := &unstructured.Unstructured{Object: map[string]any{}}
	o.SetAPIVersion(resources[kind].GroupVersion().String())
	o.SetKind(kind)
	o.SetName(name)
	if owner != nil {
		o.SetOwnerReferences([]metav1.OwnerReference{*metav1.NewControllerRef(owner, owner.GroupVersionKind())})
	}
	made, err := w.create(t.Context(), namespace, o.Object)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// TestOwnerLookupTimeout asks when nobody answers.
func TestOwnerLookupTimeout(t *testing.T) {
	w := inWorld(t)
	t.Parallel()
	config := w.Config()
	config.Host = "https://192.0.2.1:6443" // an address that leads nowhere (RFC 5737)
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
				t.Error("a look-up that nobody answered is complete")
			}
			durations <- time.Since(began)
		}()
	}
	var all []time.Duration
	for range cap(durations) {
		all = append(all, <-durations)
	}
	if longest := slices.Max(all); longest > 5*time.Second {
		t.Errorf("the last of %d look-ups took %s, and had 200 ms", len(all), longest)
	}
}
