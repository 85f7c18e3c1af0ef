package e2e

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	"drey.dev/drey/test/framework/eventually"
)

// TestClusterSelector creates the workloads of each flavor in the order of their manifest and
// in reverse, with TaskManagers before the JobManager that identifies them. One value of
// deploymentId or sessionClusterId selects all pods, and so does one of drey.dev/app. The audit,
// which compares ids with those of the cluster, finds no conflict.
func TestClusterSelector(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	program, err := buildDrey()
	if err != nil {
		t.Fatal(err)
	}
	for _, flavor := range flavors(t) {
		for _, order := range []string{"in order", "reversed"} {
			t.Run(flavor+" "+order, func(t *testing.T) {
				t.Parallel()
				s := &scope{w, w.Namespace(t)}
				w.register(t, "team-a", s.namespace)
				objects := flavorObjects(t, flavor)
				if order == "reversed" {
					if slices.ContainsFunc(objects, func(o *unstructured.Unstructured) bool { return len(o.GetOwnerReferences()) > 0 }) {
						t.Skip("its objects have owner references, so their owners are created first")
					}
					slices.Reverse(objects)
				}
				want := 0
				for _, o := range objects {
					if err := s.apply(t, o); err != nil {
						t.Fatal(err)
					}
					want += flinkPods(o)
				}
				eventually.OK(t, func() error { return s.checkSelector(t, want) })
				out, err := exec.CommandContext(t.Context(), program, "audit", "-n", s.namespace, "--kubeconfig", w.Kubeconfig(), "--server", w.drey.REST).CombinedOutput()
				if err != nil || strings.Contains(string(out), "LabelConflict") {
					t.Errorf("%v:\n%s", err, out)
				}
			})
		}
	}
}

// flinkPods returns the number of Flink pods of a workload.
func flinkPods(o *unstructured.Unstructured) int {
	switch o.GetKind() {
	case "Pod", "Job":
		if strings.HasSuffix(o.GetName(), "-submitter") { // runs the client of Flink
			return 0
		}
		return 1
	case "Deployment", "StatefulSet":
		replicas, ok, _ := unstructured.NestedFieldNoCopy(o.Object, "spec", "replicas")
		if !ok {
			return 1
		}
		return int(replicas.(float64)) // YAML numbers
	}
	return 0
}

// checkSelector returns an error unless the labels of one pod select exactly want pods.
func (s *scope) checkSelector(t *testing.T, want int) error {
	pods := s.list(t, "Pod", s.namespace)
	pods = slices.DeleteFunc(pods, func(o unstructured.Unstructured) bool { return o.GetLabels()["system"] == "" })
	for i := range pods {
		s.markRunning(t, &pods[i]) // a StatefulSet creates one after the other
	}
	if len(pods) != want {
		return fmt.Errorf("Flink pods: got %d, want %d", len(pods), want)
	}
	selectorOf := func(o unstructured.Unstructured) string {
		identity := labels.Set{}
		for _, key := range []string{"deploymentId", "sessionClusterId", "drey.dev/app"} {
			if value, ok := o.GetLabels()[key]; ok {
				identity[key] = value
			}
		}
		return labels.SelectorFromSet(identity).String()
	}
	selector := selectorOf(pods[0])
	if !strings.Contains(selector, "Id=") || !strings.Contains(selector, "drey.dev/app=") {
		return fmt.Errorf("labels of pod %s: got %v, want an id and drey.dev/app", pods[0].GetName(), pods[0].GetLabels())
	}
	for _, o := range pods[1:] {
		if other := selectorOf(o); other != selector {
			return fmt.Errorf("selector of pod %s: got %s, want %s as of pod %s", o.GetName(), other, selector, pods[0].GetName())
		}
	}
	return nil
}
