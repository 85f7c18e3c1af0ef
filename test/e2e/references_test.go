package e2e

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"drey.dev/drey/test/framework/eventually"
	"drey.dev/drey/webhook/flink"
)

// suspendedResource returns a suspended custom resource of Flink, which has no pods.
func suspendedResource(c flink.CustomResource, name string) map[string]any {
	return map[string]any{
		"apiVersion": c.Group + "/" + c.Version, "kind": c.Kind, "metadata": map[string]any{"name": name},
		"spec": map[string]any{"job": map[string]any{"jarURI": "local:///opt/flink/orders.jar", "state": "suspended"}},
	}
}

// TestReferencesSuspendedResource creates a suspended custom resource of each kind: it
// references its target until it is terminating, since its operator may resume it.
func TestReferencesSuspendedResource(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	for _, c := range flink.CustomResources {
		t.Run(c.Kind, func(t *testing.T) {
			t.Parallel()
			namespace := w.Namespace(t)
			w.register(t, "team-a", namespace)
			o := suspendedResource(c, "orders")
			o["metadata"].(map[string]any)["finalizers"] = []any{"example.com/hold"}
			if _, err := w.create(t.Context(), namespace, o); err != nil {
				t.Fatal(err)
			}
			want := c.Kind + "/orders in " + namespace
			if got := w.references(t, "team-a", namespace); !slices.Equal(got, []string{want}) {
				t.Errorf("references: got %v, want %s", got, want)
			}
			w.checkDeletionRefused(t, "team-a", namespace, c.Kind+` \"orders\" in Kubernetes namespace \"`+namespace+`\"`)

			w.register(t, "team-b", namespace)
			if got := w.references(t, "team-b", namespace); len(got) > 0 {
				t.Errorf("references of the target of team-b: got %v, want none: the resource is labeled for team-a", got)
			}

			// A terminating resource creates no pods, so it references no target.
			w.MustKubectl(t, "", "delete", c.Resource+"."+c.Group, "orders", "-n", namespace, "--wait=false")
			w.deleteTarget(t, "team-a", namespace)
			w.MustKubectl(t, "", "patch", c.Resource+"."+c.Group, "orders", "-n", namespace, "--type=merge", "-p", `{"metadata":{"finalizers":null}}`)
		})
	}
}

// TestReferencesUnlabeledResource creates an unlabeled custom resource: it references the
// targets of all platform namespaces, unless its pod template names one.
func TestReferencesUnlabeledResource(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	namespace := w.Namespace(t)
	w.MustKubectl(t, "", "label", "namespace", namespace, "drey.dev/mode=audit")
	w.register(t, "team-a", namespace)
	w.register(t, "team-b", namespace)
	elsewhere := suspendedResource(flink.CustomResources[0], "elsewhere")
	elsewhere["spec"].(map[string]any)["podTemplate"] = map[string]any{"metadata": map[string]any{"labels": map[string]any{"vvpNamespace": "team-c"}}}
	eventually.OK(t, func() error { // drey follows modes by a watch
		_, err := w.create(t.Context(), namespace, deepCopy(t, elsewhere))
		return err
	})
	unlabeled, err := w.create(t.Context(), namespace, suspendedResource(flink.CustomResources[0], "unlabeled"))
	if err != nil {
		t.Fatal(err)
	}
	if labels := unlabeled.GetLabels(); labels["vvpNamespace"] != "" {
		t.Fatalf("labels in mode audit: got %v, want none of drey's", labels)
	}
	for _, platform := range []string{"team-a", "team-b"} {
		if got, want := w.references(t, platform, namespace), "FlinkDeployment/unlabeled in "+namespace; !slices.Equal(got, []string{want}) {
			t.Errorf("references of the target of %s: got %v, want %s", platform, got, want)
		}
		w.checkDeletionRefused(t, platform, namespace, `FlinkDeployment \"unlabeled\"`)
	}
	w.MustKubectl(t, "", "delete", "flinkdeployments", "unlabeled", "-n", namespace)
	w.deleteTarget(t, "team-a", namespace)
	w.deleteTarget(t, "team-b", namespace)
}

// TestReferencesPagination creates more custom resources than a page of a list has.
func TestReferencesPagination(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	namespace := w.Namespace(t)
	w.MustKubectl(t, "", "label", "namespace", namespace, "drey.dev/mode=audit")
	w.register(t, "team-a", namespace)
	w.register(t, "team-b", namespace)
	const count = 120
	name := func(i int) string { return "orders-" + string(rune('a'+i/26)) + string(rune('a'+i%26)) }
	eventually.OK(t, func() error {
		_, err := w.create(t.Context(), namespace, suspendedResource(flink.CustomResources[0], name(0)))
		return err
	})
	want := map[string]bool{"FlinkDeployment/" + name(0) + " in " + namespace: true}
	for i := 1; i < count; i++ {
		if _, err := w.create(t.Context(), namespace, suspendedResource(flink.CustomResources[0], name(i))); err != nil {
			t.Fatal(err)
		}
		want["FlinkDeployment/"+name(i)+" in "+namespace] = true
	}
	if got := w.references(t, "team-a", namespace); !slices.Equal(got, slices.Sorted(maps.Keys(want))) {
		t.Errorf("references: got %d, want %d", len(got), count)
	}
	w.checkDeletionRefused(t, "team-a", namespace, "and 110 more")
}

// references returns the references of a target.
func (w *world) references(t testing.TB, platformNamespace, target string) (all []string) {
	t.Helper()
	answer, err := w.drey.Call(t.Context(), http.MethodGet, "/api/v1/namespaces/"+platformNamespace+"/deployment-targets/"+target+"/references", nil)
	if err != nil {
		t.Fatal(err)
	}
	var found struct {
		Items []struct{ Kind, Name, KubernetesNamespace string }
	}
	if err := json.Unmarshal(answer, &found); err != nil {
		t.Fatal(err)
	}
	for _, item := range found.Items {
		all = append(all, item.Kind+"/"+item.Name+" in "+item.KubernetesNamespace)
	}
	return all
}

// checkDeletionRefused fails the test unless the deletion of a target fails with
// TargetReferenced and a text.
func (w *world) checkDeletionRefused(t testing.TB, platformNamespace, target, text string) {
	t.Helper()
	_, err := w.drey.Call(t.Context(), http.MethodDelete, "/api/v1/namespaces/"+platformNamespace+"/deployment-targets/"+target, nil)
	if err == nil || !strings.Contains(err.Error(), "TargetReferenced") || !strings.Contains(err.Error(), text) {
		t.Errorf("delete a referenced target: got %v, want TargetReferenced and %s", err, text)
	}
}

func (w *world) deleteTarget(t testing.TB, platformNamespace, target string) {
	t.Helper()
	if _, err := w.drey.Call(t.Context(), http.MethodDelete, "/api/v1/namespaces/"+platformNamespace+"/deployment-targets/"+target, nil); err != nil {
		t.Error(err)
	}
}
