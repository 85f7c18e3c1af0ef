package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// manifestsOfAJob are what a GitOps tool would apply.
var manifestsOfAJob = []string{jobManager, `
apiVersion: v1
kind: Service
metadata: {name: my-job, labels: {app: my-job, type: flink-native-kubernetes}}
spec: {ports: [{name: rpc, port: 6123}], selector: {app: my-job, component: jobmanager}}
`, `
apiVersion: v1
kind: ConfigMap
metadata: {name: flink-config-my-job, labels: {app: my-job, type: flink-native-kubernetes}}
data: {flink-conf.yaml: "parallelism.default: 2"}
`, statefulSet}

// TestGitOpsSeesNoDrift applies the same manifests over and over, in every way that
// people and tools do: what drey adds is in metadata.labels alone, is not taken away, and
// makes nothing else change.
func TestGitOpsSeesNoDrift(t *testing.T) {
	w := inWorld(t)
	t.Parallel()
	for _, manifest := range manifestsOfAJob {
		var desired map[string]any
		if err := yaml.Unmarshal([]byte(manifest), &desired); err != nil {
			t.Fatal(err)
		}
		o := unstructured.Unstructured{Object: desired}
		t.Run(o.GetKind(), func(t *testing.T) {
			t.Parallel()
			namespace := w.Namespace(t)
			w.register(t, "team-a", namespace)
			w.mustKubectl(t, manifest, "apply", "-n", namespace, "-f", "-")
			first := w.get(t, o.GetKind(), namespace, o.GetName())
			ours := first.GetLabels()
			if ours["system"] != "ververica-platform" || ours["vvpNamespace"] != "team-a" {
				t.Fatalf("drey has added nothing: %v", ours)
			}
			for _, way := range [][]string{
				{"apply"}, {"apply", "--server-side", "--force-conflicts", "--field-manager=argocd"}, {"apply", "--server-side", "--field-manager=argocd"}, {"replace"}, {"apply"},
			} {
				out := w.mustKubectl(t, manifest, append(way, "-n", namespace, "-f", "-")...)
				now := w.get(t, o.GetKind(), namespace, o.GetName())
				if now.GetGeneration() != first.GetGeneration() {
					t.Errorf("%v made generation %d of %d: %s", way, now.GetGeneration(), first.GetGeneration(), out)
				}
				if !reflect.DeepEqual(now.Object["spec"], first.Object["spec"]) || !reflect.DeepEqual(now.Object["data"], first.Object["data"]) {
					t.Errorf("%v changed what is not metadata", way)
				}
				if way[0] == "replace" { // it means what it says: other labels are gone, and nobody fights for them
					w.mustKubectl(t, "", "label", "-n", namespace, strings.ToLower(o.GetKind()), o.GetName(), "system=ververica-platform", "vvpNamespace=team-a")
					continue
				}
				if labels := now.GetLabels(); labels["system"] != "ververica-platform" || labels["vvpNamespace"] != "team-a" {
					t.Errorf("%v took labels away: %v", way, labels)
				}
			}
			if diff := w.drift(t, o, namespace); diff != "" {
				t.Errorf("a GitOps tool would see: %s", diff)
			}
			w.mustKubectl(t, "", "label", "-n", namespace, strings.ToLower(o.GetKind()), o.GetName(), "team=nuts")
			w.mustKubectl(t, "", "annotate", "-n", namespace, strings.ToLower(o.GetKind()), o.GetName(), "seen=yes")
			if diff := w.drift(t, o, namespace); diff != "" {
				t.Errorf("after kubectl label a GitOps tool would see: %s", diff)
			}
		})
	}
}

func (w *world) get(t testing.TB, kind, namespace, name string) *unstructured.Unstructured {
	t.Helper()
	text := w.mustKubectl(t, "", "get", strings.ToLower(kind), name, "-n", namespace, "-o", "json")
	o := &unstructured.Unstructured{}
	if err := json.Unmarshal([]byte(text), &o.Object); err != nil {
		t.Fatal(err)
	}
	return o
}

// drift is what server-side apply of the manifest would change, as Argo CD and Flux
// compute it: by a dry run, metadata that the manifest does not mention apart.
func (w *world) drift(t testing.TB, desired unstructured.Unstructured, namespace string) string {
	t.Helper()
	text, err := json.Marshal(desired.Object)
	if err != nil {
		t.Fatal(err)
	}
	out := w.mustKubectl(t, string(text), "apply", "--server-side", "--force-conflicts", "--field-manager=argocd", "--dry-run=server", "-n", namespace, "-f", "-", "-o", "json")
	var would unstructured.Unstructured
	if err := json.Unmarshal([]byte(out), &would.Object); err != nil {
		t.Fatal(err)
	}
	live := w.get(t, desired.GetKind(), namespace, desired.GetName())
	for _, o := range []*unstructured.Unstructured{&would, live} {
		o.SetManagedFields(nil)
		o.SetResourceVersion("")
		delete(o.Object, "status")
	}
	if !maps.Equal(would.GetLabels(), live.GetLabels()) {
		return fmt.Sprintf("labels %v become %v", live.GetLabels(), would.GetLabels())
	}
	if !reflect.DeepEqual(would.Object, live.Object) {
		return fmt.Sprintf("%v becomes %v", live.Object, would.Object)
	}
	return ""
}

// TestDeletingAlwaysWorks, whatever holds an object, and whether or not its namespace
// has a target.
func TestDeletingAlwaysWorks(t *testing.T) {
	w := inWorld(t)
	t.Parallel()
	for _, way := range []string{"background", "foreground", "orphan"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			namespace := w.Namespace(t)
			w.register(t, "default", namespace)
			w.mustKubectl(t, jobManager, "apply", "-n", namespace, "-f", "-")
			eventually(t, 20e9, func() error { return onlyPod(w, t, namespace) })
			pod := w.list(t, "Pod", namespace)[0].GetName()
			w.mustKubectl(t, "", "patch", "pod", pod, "-n", namespace, "--type=merge", "-p", `{"metadata":{"finalizers":["example.com/hold"]}}`)
			w.mustKubectl(t, "", "patch", "deployment", "my-job", "-n", namespace, "--type=merge", "-p", `{"metadata":{"finalizers":["example.com/hold"]}}`)
			w.mustKubectl(t, "", "delete", "deployment", "my-job", "-n", namespace, "--wait=false", "--cascade="+way)
			w.mustKubectl(t, "", "delete", "pod", pod, "-n", namespace, "--wait=false", "--now")
			// Somebody cleans up, and cares for no label.
			w.mustKubectl(t, "", "patch", "pod", pod, "-n", namespace, "--type=merge", "-p", `{"metadata":{"finalizers":null,"labels":{"system":null,"vvpNamespace":"x"}}}`)
			if out, err := w.kubectl(t, "", "patch", "deployment", "my-job", "-n", namespace, "--type=merge", "-p", `{"metadata":{"finalizers":null}}`); err != nil && !strings.Contains(out, "not found") {
				t.Fatal(out)
			}
			w.mustKubectl(t, "", "delete", "replicaset,pod", "--all", "-n", namespace, "--now")
			eventually(t, 60e9, func() error {
				if left := len(w.list(t, "Pod", namespace)) + len(w.list(t, "ReplicaSet", namespace)) + len(w.list(t, "Deployment", namespace)); left > 0 {
					return fmt.Errorf("%d objects are left", left)
				}
				return nil
			})
		})
	}
}
