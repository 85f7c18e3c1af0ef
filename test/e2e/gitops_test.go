package e2e

import (
	"encoding/json"
	"errors"
	"maps"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// manifestsOfAJob are what a GitOps tool would apply.
const manifestsOfAJob = jobManager + `
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

// TestApplyNoDrift applies the same manifests over and over, in every way that
// people and tools do: what drey adds is in metadata.labels alone, it is not taken
// away, and nothing else changes.
func TestApplyNoDrift(t *testing.T) {
	w := inWorld(t)
	t.Parallel()
	for name, ways := range map[string][]way{
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
			namespace, file := w.Namespace(t), writeFile(t, manifestsOfAJob)
			w.register(t, "team-a", namespace)
			var first map[string]*unstructured.Unstructured
			for i, way := range ways {
				w.MustKubectl(t, "", way.command(namespace, file)...)
				now := w.live(t, namespace, file)
				if first == nil {
					first = now
				}
				checkSame(t, i, way, first, now)
				for key, o := range now {
					if labels := o.GetLabels(); labels["system"] != "ververica-platform" || labels["vvpNamespace"] != "team-a" {
						t.Errorf("after step %d, %v, %s has the labels %v", i, way, key, labels)
					}
				}
			}
			for key, o := range first {
				for _, f := range o.GetManagedFields() {
					if strings.Contains(f.FieldsV1.GetRawString(), `"f:vvpNamespace"`) {
						t.Errorf("of %s, %s owns a label that it has never stated", key, f.Manager)
					}
				}
			}
		})
	}
}

// TestReplaceNoDrift, though it states none of drey's labels: what makes
// pods keeps them, since its pods are let in by them when their target vanishes. A
// Service and a ConfigMap do not need theirs, and lose them.
func TestReplaceNoDrift(t *testing.T) {
	w := inWorld(t)
	t.Parallel()
	namespace, file := w.Namespace(t), writeFile(t, strings.Replace(manifestsOfAJob, batchJob+"---", "", 1)) // no Job can be replaced
	w.register(t, "team-a", namespace)
	w.MustKubectl(t, "", "apply", "-n", namespace, "-f", file)
	first := w.live(t, namespace, file)
	for i, way := range []way{{"replace", nil}, {"replace", nil}, {"apply", nil}} {
		w.MustKubectl(t, "", way.command(namespace, file)...)
		now := w.live(t, namespace, file)
		checkSame(t, i, way, first, now)
		for key, o := range now {
			if kind := o.GetKind(); kind != "Service" && kind != "ConfigMap" && !maps.Equal(o.GetLabels(), first[key].GetLabels()) {
				t.Errorf("step %d, %v, made labels %v of %s from %v", i, way, o.GetLabels(), key, first[key].GetLabels())
			}
		}
	}
	for _, pod := range w.list(t, "Pod", namespace) {
		if pod.GetLabels()["system"] != "ververica-platform" {
			t.Errorf("the pod %s has the labels %v", pod.GetName(), pod.GetLabels())
		}
	}
}

// TestKubectlDiff, and nothing of drey's: so it is worth looking at.
func TestKubectlDiff(t *testing.T) {
	w := inWorld(t)
	t.Parallel()
	namespace := w.Namespace(t)
	w.register(t, "team-a", namespace)
	w.MustKubectl(t, manifestsOfAJob, "apply", "-n", namespace, "-f", "-")
	changed := strings.Replace(manifestsOfAJob, "flink:2.2\n", "flink:2.3\n", 1)
	if changed == manifestsOfAJob {
		t.Fatal("nothing is changed")
	}
	out, err := w.RunKubectl(t, changed, "diff", "-n", namespace, "-f", "-")
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Fatalf("%v: %s", err, out)
	}
	for line := range strings.Lines(out) {
		changes := strings.HasPrefix(line, "+ ") || strings.HasPrefix(line, "- ")
		if changes && !strings.Contains(line, "image:") && !strings.Contains(line, "generation:") {
			t.Errorf("the diff shows %s", line)
		}
	}
	if !strings.Contains(out, "flink:2.3") {
		t.Error(out)
	}
}

// way is a kubectl command on a file of manifests.
type way struct {
	verb string
	more []string
}

func (w way) command(namespace, file string) []string {
	return append([]string{w.verb, "-n", namespace, "-f", file}, w.more...)
}

// live is what there is of a file's objects, by kind and name.
func (w *world) live(t testing.TB, namespace, file string) map[string]*unstructured.Unstructured {
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

// checkSame compares what a GitOps tool looks at: all but labels and annotations,
// which many write, and the status.
func checkSame(t testing.TB, step int, way way, before, now map[string]*unstructured.Unstructured) {
	t.Helper()
	for key, o := range before {
		n := now[key]
		if o.GetUID() != n.GetUID() || o.GetGeneration() != n.GetGeneration() {
			t.Errorf("step %d, %v, made generation %d of %s of generation %d", step, way, n.GetGeneration(), key, o.GetGeneration())
		}
		for _, field := range []string{"spec", "data"} {
			if !reflect.DeepEqual(o.Object[field], n.Object[field]) {
				t.Errorf("step %d, %v, changed the %s of %s from %v to %v", step, way, field, key, o.Object[field], n.Object[field])
			}
		}
	}
}
