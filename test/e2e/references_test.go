package e2e

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"drey.dev/drey/test/framework/eventually"
	"drey.dev/drey/webhook/flink"
)

// suspendedResource is a custom resource of Flink's that is suspended: it has no pods.
func suspendedResource(c flink.CustomResource, name string) map[string]any {
	return map[string]any{
		"apiVersion": c.Group + "/" + c.Version, "kind": c.Kind, "metadata": map[string]any{"name": name},
		"spec": map[string]any{"job": map[string]any{"jarURI": "local:///opt/flink/orders.jar", "state": "suspended"}},
	}
}

// TestReferencesSuspendedResource has a custom resource of each kind, without
// pods, hold its target: its operator may start it at any time.
func TestReferencesSuspendedResource(t *testing.T) {
	w := inWorld(t)
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
				t.Errorf("references are %v, want %s", got, want)
			}
			w.keepsTarget(t, "team-a", namespace, c.Kind+` \"orders\" in Kubernetes namespace \"`+namespace+`\"`)

			w.register(t, "team-b", namespace)
			if got := w.references(t, "team-b", namespace); len(got) > 0 {
				t.Errorf("it is labeled for team-a, and holds team-b's target: %v", got)
			}

			// The finalizer keeps it there, but what terminates starts nothing.
			w.MustKubectl(t, "", "delete", c.Resource+"."+c.Group, "orders", "-n", namespace, "--wait=false")
			w.deletesTarget(t, "team-a", namespace)
			w.MustKubectl(t, "", "patch", c.Resource+"."+c.Group, "orders", "-n", namespace, "--type=merge", "-p", `{"metadata":{"finalizers":null}}`)
		})
	}
}

// TestReferencesUnlabeledResource: one that came without drey may belong to any
// platform namespace that has a target, unless it says to which.
func TestReferencesUnlabeledResource(t *testing.T) {
	w := inWorld(t)
	t.Parallel()
	namespace := w.Namespace(t)
	w.MustKubectl(t, "", "label", "namespace", namespace, "drey.dev/mode=audit")
	w.register(t, "team-a", namespace)
	w.register(t, "team-b", namespace)
	elsewhere := suspendedResource(flink.CustomResources[0], "elsewhere")
	elsewhere["spec"].(map[string]any)["podTemplate"] = map[string]any{"metadata": map[string]any{"labels": map[string]any{"vvpNamespace": "team-c"}}}
	eventually.OK(t, 20*time.Second, func() error { // the mode arrives by a watch
		_, err := w.create(t.Context(), namespace, clone(t, elsewhere))
		return err
	})
	anyones, err := w.create(t.Context(), namespace, suspendedResource(flink.CustomResources[0], "anyones"))
	if err != nil {
		t.Fatal(err)
	}
	if labels := anyones.GetLabels(); labels["vvpNamespace"] != "" {
		t.Fatalf("it is labeled: %v", labels)
	}
	for _, platform := range []string{"team-a", "team-b"} {
		if got, want := w.references(t, platform, namespace), "FlinkDeployment/anyones in "+namespace; !slices.Equal(got, []string{want}) {
			t.Errorf("references of %s are %v, want %s", platform, got, want)
		}
		w.keepsTarget(t, platform, namespace, `FlinkDeployment \"anyones\"`)
	}
	w.MustKubectl(t, "", "delete", "flinkdeployments", "anyones", "-n", namespace)
	w.deletesTarget(t, "team-a", namespace)
	w.deletesTarget(t, "team-b", namespace)
}

// TestReferencesPagination reads more of them than one page has.
func TestReferencesPagination(t *testing.T) {
	w := inWorld(t)
	t.Parallel()
	namespace := w.Namespace(t)
	w.MustKubectl(t, "", "label", "namespace", namespace, "drey.dev/mode=audit")
	w.register(t, "team-a", namespace)
	w.register(t, "team-b", namespace)
	const many = 120
	name := func(i int) string { return "orders-" + string(rune('a'+i/26)) + string(rune('a'+i%26)) }
	eventually.OK(t, 20*time.Second, func() error {
		_, err := w.create(t.Context(), namespace, suspendedResource(flink.CustomResources[0], name(0)))
		return err
	})
	want := map[string]bool{"FlinkDeployment/" + name(0) + " in " + namespace: true}
	for i := 1; i < many; i++ {
		if _, err := w.create(t.Context(), namespace, suspendedResource(flink.CustomResources[0], name(i))); err != nil {
			t.Fatal(err)
		}
		want["FlinkDeployment/"+name(i)+" in "+namespace] = true
	}
	if got := w.references(t, "team-a", namespace); !slices.Equal(got, slices.Sorted(maps.Keys(want))) {
		t.Errorf("got %d references, want %d", len(got), many)
	}
	w.keepsTarget(t, "team-a", namespace, "and 110 more")
}

// references are what holds the target that a namespace's test has registered.
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

// keepsTarget fails the test if a target's deletion is not refused in these words.
func (w *world) keepsTarget(t testing.TB, platformNamespace, target, says string) {
	t.Helper()
	_, err := w.drey.Call(t.Context(), http.MethodDelete, "/api/v1/namespaces/"+platformNamespace+"/deployment-targets/"+target, nil)
	if err == nil || !strings.Contains(err.Error(), "TargetReferenced") || !strings.Contains(err.Error(), says) {
		t.Errorf("got %v, want TargetReferenced and %s", err, says)
	}
}

func (w *world) deletesTarget(t testing.TB, platformNamespace, target string) {
	t.Helper()
	if _, err := w.drey.Call(t.Context(), http.MethodDelete, "/api/v1/namespaces/"+platformNamespace+"/deployment-targets/"+target, nil); err != nil {
		t.Error(err)
	}
}
