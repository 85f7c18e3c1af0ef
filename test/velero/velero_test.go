// Package velero tests the documented resource modifier with the code of Velero. The path of its
// module lies below Velero's, whose packages are internal.
package velero

import (
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus"
	"github.com/vmware-tanzu/velero/internal/resourcemodifiers"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"drey.dev/drey/test/framework/page"
)

// TestDocumentedResourceModifier: the modifier removes drey's labels of pods, and no others.
func TestDocumentedResourceModifier(t *testing.T) {
	blocks, err := page.CheckedBy("../..", t.Name())
	if err != nil {
		t.Fatal(err)
	}
	log := logrus.New()
	log.SetOutput(io.Discard)
	for path, text := range blocks {
		modifiers, err := resourcemodifiers.GetResourceModifiersFromConfig(&corev1.ConfigMap{Data: map[string]string{"modifiers.yaml": text}})
		if err == nil {
			err = modifiers.Validate()
		}
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		pod := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Pod"}}
		pod.SetName("orders")
		pod.SetLabels(map[string]string{
			"app": "orders", "drey.dev/app": "orders", "system": "ververica-platform", "vvpNamespace": "team-a", "deploymentId": "1", "deploymentName": "orders",
			"jobId": "2", "sessionClusterId": "3", "sessionClusterName": "sql",
		})
		if errs := modifiers.ApplyResourceModifierRules(pod, "pods", runtime.NewScheme(), log); len(errs) > 0 {
			t.Fatalf("%s: %v", path, errs)
		}
		if diff := cmp.Diff(map[string]string{"app": "orders"}, pod.GetLabels()); diff != "" {
			t.Errorf("%s: labels of a restored pod (-want +got):\n%s", path, diff)
		}
	}
}
