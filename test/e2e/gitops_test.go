package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// gitOpsManifests are the objects that a GitOps tool applies.
const gitOpsManifests = jobManager + `
---
apiVersion: v1
kind: Service
metadata: {name: my-job, labels: {app: my-job, type: flink-native-kubernetes}}
spec: {ports: [{name: rpc, port: 6123, protocol: TCP}], selector: {app: my-job, component: jobmanager}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: flink-config-my-job, labels: {app: my-job, type: flink-native-kubernetes}}
data: {flink-conf.yaml: "parallelism.default: 2"}
---` + statefulSet + `---` + batchJob + `---
apiVersion: flink.apache.org/v1beta1
kind: FlinkDeployment
metadata: {name: orders}
spec: {image: "flink:2.2", flinkVersion: v2_2, job: {jarURI: "local:///opt/flink/orders.jar"}}
`

// TestApplyNoDrift applies the same manifests repeatedly, client-side and server-side: the labels
// of drey stay, and nothing else changes.
func TestApplyNoDrift(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	for name, commands := range map[string][]fileCommand{
		"client-side apply": {
			{"apply", nil}, {"apply", nil},
			{"label", []string{"team=nuts"}}, {"annotate", []string{"seen=yes"}}, {"apply", nil},
			{"diff", nil}, {"apply", []string{"--server-side", "--force-conflicts", "--field-manager=argocd"}}, {"apply", nil},
		},
		"server-side apply": {
			{"apply", []string{"--server-side", "--field-manager=argocd"}}, {"apply", []string{"--server-side", "--field-manager=argocd"}},
			{"apply", []string{"--server-side", "--field-manager=flux"}}, {"diff", []string{"--server-side", "--field-manager=argocd"}},
			{"label", []string{"team=nuts"}}, {"apply", []string{"--server-side", "--field-manager=argocd"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			namespace, file := w.Namespace(t), writeManifest(t, gitOpsManifests)
			w.register(t, "team-a", namespace)
			var first map[string]*unstructured.Unstructured
			for i, command := range commands {
				w.MustKubectl(t, "", command.args(namespace, file)...)
				now := w.liveObjects(t, namespace, file)
				if first == nil {
					first = now
				}
				checkSame(t, i, command, first, now)
				for key, o := range now {
					if labels := o.GetLabels(); labels["system"] != "ververica-platform" || labels["vvpNamespace"] != "team-a" {
						t.Errorf("step %d, %v: labels of %s: got %v, want drey's", i, command, key, labels)
					}
				}
			}
			for key, o := range first {
				for _, f := range o.GetManagedFields() {
					if strings.Contains(f.FieldsV1.GetRawString(), `"f:vvpNamespace"`) {
						t.Errorf("managed fields of %s: %s owns the label vvpNamespace, which its manifests lack", key, f.Manager)
					}
				}
			}
		})
	}
}

// TestReplaceNoDrift replaces objects by manifests without drey's labels: workloads keep the
// labels, which admit their pods after the loss of their target. Services and ConfigMaps lose
// theirs.
func TestReplaceNoDrift(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	namespace, file := w.Namespace(t), writeManifest(t, strings.Replace(gitOpsManifests, batchJob+"---", "", 1)) // a Job cannot be replaced
	w.register(t, "team-a", namespace)
	w.MustKubectl(t, "", "apply", "-n", namespace, "-f", file)
	first := w.liveObjects(t, namespace, file)
	for i, command := range []fileCommand{{"replace", nil}, {"replace", nil}, {"apply", nil}} {
		w.MustKubectl(t, "", command.args(namespace, file)...)
		now := w.liveObjects(t, namespace, file)
		checkSame(t, i, command, first, now)
		for key, o := range now {
			if kind := o.GetKind(); kind != "Service" && kind != "ConfigMap" && !maps.Equal(o.GetLabels(), first[key].GetLabels()) {
				t.Errorf("step %d, %v: labels of %s: got %v, want %v", i, command, key, o.GetLabels(), first[key].GetLabels())
			}
		}
	}
	for _, pod := range w.list(t, "Pod", namespace) {
		if pod.GetLabels()["system"] != "ververica-platform" {
			t.Errorf("labels of pod %s: got %v, want drey's", pod.GetName(), pod.GetLabels())
		}
	}
}

// TestKubectlDiff changes a manifest: kubectl diff shows the change, and no label of drey's.
func TestKubectlDiff(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	namespace := w.Namespace(t)
	w.register(t, "team-a", namespace)
	w.MustKubectl(t, gitOpsManifests, "apply", "-n", namespace, "-f", "-")
	changed := strings.Replace(gitOpsManifests, "flink:2.2\n", "flink:2.3\n", 1)
	if changed == gitOpsManifests {
		t.Fatal("the manifest is unchanged")
	}
	out, err := w.RunKubectl(t, changed, "diff", "-n", namespace, "-f", "-")
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Fatalf("kubectl diff: got %v: %s, want exit code 1", err, out)
	}
	for line := range strings.Lines(out) {
		changes := strings.HasPrefix(line, "+ ") || strings.HasPrefix(line, "- ")
		if changes && !strings.Contains(line, "image:") && !strings.Contains(line, "generation:") {
			t.Errorf("diff: got the line %s, want image and generation only", line)
		}
	}
	if !strings.Contains(out, "flink:2.3") {
		t.Errorf("diff: got %s, want flink:2.3", out)
	}
}

// fileCommand is a kubectl command on a file of manifests.
type fileCommand struct {
	verb  string
	flags []string
}

func (c fileCommand) args(namespace, file string) []string {
	return append([]string{c.verb, "-n", namespace, "-f", file}, c.flags...)
}

// liveObjects reads the objects of a file, by kind and name.
func (w *world) liveObjects(t testing.TB, namespace, file string) map[string]*unstructured.Unstructured {
	t.Helper()
	var list struct{ Items []map[string]any }
	text := w.MustKubectl(t, "", "get", "-n", namespace, "-f", file, "-o", "json", "--show-managed-fields")
	if err := json.Unmarshal([]byte(text), &list); err != nil || len(list.Items) < 5 {
		t.Fatalf("%v: %d objects in %s", err, len(list.Items), text)
	}
	all := map[string]*unstructured.Unstructured{}
	for _, object := range list.Items {
		o := &unstructured.Unstructured{Object: object}
		all[o.GetKind()+" "+o.GetName()] = o
	}
	return all
}

// checkSame compares the fields that GitOps tools compare: all but the labels, the annotations
// and the status.
func checkSame(t testing.TB, step int, command fileCommand, before, now map[string]*unstructured.Unstructured) {
	t.Helper()
	for key, o := range before {
		n := now[key]
		if o.GetUID() != n.GetUID() || o.GetGeneration() != n.GetGeneration() {
			t.Errorf("step %d, %v: %s: got uid %s and generation %d, want %s and %d", step, command, key, n.GetUID(), n.GetGeneration(), o.GetUID(), o.GetGeneration())
		}
		for _, field := range []string{"spec", "data"} {
			if diff := cmp.Diff(o.Object[field], n.Object[field]); diff != "" {
				t.Errorf("step %d, %v: %s of %s (-want +got):\n%s", step, command, field, key, diff)
			}
		}
	}
}

// TestPodGetReplace edits a labeled pod as kubectl get, an editor and kubectl replace do: the update
// passes, and the labels stay.
func TestPodGetReplace(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	namespace := w.Namespace(t)
	w.register(t, "team-a", namespace)
	w.MustKubectl(t, fmt.Sprintf(bareFlinkPod, "edited"), "create", "-n", namespace, "-f", "-")
	before := w.get(t, "Pod", namespace, "edited")
	edited := w.MustKubectl(t, w.MustKubectl(t, "", "get", "pod", "edited", "-n", namespace, "-o", "yaml"), "annotate", "--local", "-f", "-", "edited=yes", "-o", "yaml")
	w.MustKubectl(t, edited, "replace", "-f", "-")
	after := w.get(t, "Pod", namespace, "edited")
	if after.GetAnnotations()["edited"] != "yes" || !maps.Equal(before.GetLabels(), after.GetLabels()) {
		t.Errorf("got the labels %v and annotations %v, want %v and the edit", after.GetLabels(), after.GetAnnotations(), before.GetLabels())
	}
}
