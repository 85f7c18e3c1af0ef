package rollout

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"drey.dev/drey/manifests/bundle"
)

// TestApplyReportsObstacles: what the pods wait for is reported once, and is in the error with
// its fix.
func TestApplyReportsObstacles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(false)
		f.available = time.Hour
		f.pods = []unstructured.Unstructured{{Object: map[string]any{
			"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": "drey-1", "namespace": "drey-system", "labels": map[string]any{nameLabel: bundle.Name}},
			"status": map[string]any{"phase": "Pending", "containerStatuses": []any{map[string]any{
				"name": "drey", "state": map[string]any{"waiting": map[string]any{"reason": "ImagePullBackOff", "message": "not found"}},
			}}},
		}}}
		var reports []string
		f.report = func(object, result string) { reports = append(reports, object+" "+result) }
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := f.Apply(ctx, stages(t))
		const want = "pod drey-1: ImagePullBackOff: not found"
		if n := strings.Count(strings.Join(reports, "\n"), "deployment/drey is waiting: "+want); n != 1 {
			t.Errorf("got %d reports of %q, want 1: %v", n, want, reports)
		}
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "--image") {
			t.Errorf("got %v, want %q and its fix", err, want)
		}
	})
}

// TestApplyExistingNamespace: a namespace of others does not get drey's label, and Remove keeps
// it.
func TestApplyExistingNamespace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := stages(t)
		f := newFakeCluster(false)
		namespace := first(t, all, "Namespace")
		f.foreign(namespace)
		if err := f.Apply(t.Context(), all); err != nil {
			t.Fatal(err)
		}
		if labels := f.objects[key(namespace)].GetLabels(); labels[nameLabel] != "" || labels["pod-security.kubernetes.io/enforce"] != "restricted" {
			t.Errorf("got the labels %v, want those of Pod Security without %s", labels, nameLabel)
		}
		if _, err := f.Remove(t.Context(), Removal{Namespace: bundle.Namespace, Purge: true}); err != nil {
			t.Fatal(err)
		}
		if found := f.objects[key(namespace)]; found == nil || len(found.GetLabels()) > 0 {
			t.Errorf("got %v, want the namespace without labels", found)
		}
	})
}
