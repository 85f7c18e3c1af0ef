package e2e

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	"drey.dev/drey/test/framework/eventually"
)

// TestClusterSelector creates the workloads of every flavor, in the order of
// their manifest and in the reverse, in which TaskManagers come before the JobManager that
// identifies them. One value of deploymentId, or of sessionClusterId, selects all pods,
// and so does one of drey.dev/app.
func TestClusterSelector(t *testing.T) {
	w := inWorld(t)
	t.Parallel()
	files, err := filepath.Glob("testdata/flavors/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(err, files)
	}
	for _, file := range files {
		flavor := strings.TrimSuffix(filepath.Base(file), ".yaml")
		for _, order := range []string{"in order", "reversed"} {
			t.Run(flavor+" "+order, func(t *testing.T) {
				t.Parallel()
				p := &plane{w, w.Namespace(t)}
				w.register(t, "team-a", p.namespace)
				objects := flavorObjects(t, flavor)
				if order == "reversed" {
					if slices.ContainsFunc(objects, func(o *unstructured.Unstructured) bool { return len(o.GetOwnerReferences()) > 0 }) {
						t.Skip("its objects have owners, which come first")
					}
					slices.Reverse(objects)
				}
				want := 0
				for _, o := range objects {
					if err := p.apply(t, o); err != nil {
						t.Fatal(err)
					}
					want += podsOf(o)
				}
				eventually.OK(t, 60*time.Second, func() error { return p.oneCluster(t, want) })
			})
		}
	}
}

// podsOf is how many pods of Flink's come of an object.
func podsOf(o *unstructured.Unstructured) int {
	switch o.GetKind() {
	case "Pod", "Job":
		if strings.HasSuffix(o.GetName(), "-submitter") { // it runs Flink's client
			return 0
		}
		return 1
	case "Deployment", "StatefulSet":
		replicas, ok, _ := unstructured.NestedFieldNoCopy(o.Object, "spec", "replicas")
		if !ok {
			return 1
		}
		return int(replicas.(float64)) // of YAML
	}
	return 0
}

// oneCluster is nil when the pods are as many as wanted, and one id selects them all.
func (p *plane) oneCluster(t *testing.T, want int) error {
	pods := p.list(t, "Pod", p.namespace)
	pods = slices.DeleteFunc(pods, func(o unstructured.Unstructured) bool { return o.GetLabels()["system"] == "" })
	for i := range pods {
		p.run(t, &pods[i]) // a StatefulSet makes one after the other
	}
	if len(pods) != want {
		return fmt.Errorf("there are %d pods of Flink's, want %d", len(pods), want)
	}
	of := func(o unstructured.Unstructured, keys ...string) string {
		return labels.SelectorFromSet(labels.Set(pick(o.GetLabels(), keys...))).String()
	}
	selector := of(pods[0], "deploymentId", "sessionClusterId", "drey.dev/app")
	if !strings.Contains(selector, "Id=") || !strings.Contains(selector, "drey.dev/app=") {
		return fmt.Errorf("pod %s has the labels %v", pods[0].GetName(), pods[0].GetLabels())
	}
	for _, o := range pods[1:] {
		if other := of(o, "deploymentId", "sessionClusterId", "drey.dev/app"); other != selector {
			return fmt.Errorf("pod %s is found by %s, and pod %s by %s", pods[0].GetName(), selector, o.GetName(), other)
		}
	}
	return nil
}

func pick(all map[string]string, keys ...string) map[string]string {
	some := map[string]string{}
	for _, key := range keys {
		if value, ok := all[key]; ok {
			some[key] = value
		}
	}
	return some
}
