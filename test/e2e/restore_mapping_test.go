package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"drey.dev/drey/test/framework/page"
)

// TestRestoreToMappedNamespace restores a Deployment and its pod to the namespace of another
// platform namespace, as Velero does with a namespace mapping. The labels of the source are those of
// another job: they are denied, and with the documented resource modifier the copies get their own.
func TestRestoreToMappedNamespace(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	source, mapped := w.Namespace(t), w.Namespace(t)
	w.register(t, "team-a", source)
	w.register(t, "team-b", mapped)
	w.runJobManager(t, source)
	restoreModifier := documentedModifier(t)
	backup := func(o *unstructured.Unstructured) string {
		o = o.DeepCopy()
		o.SetNamespace(mapped)
		o.SetUID("")
		o.SetResourceVersion("")
		o.SetOwnerReferences(nil)
		o.SetManagedFields(nil)
		delete(o.Object, "status")
		text, err := json.Marshal(o.Object)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for _, kind := range []string{"Deployment", "Pod"} {
		text := backup(&w.list(t, kind, source)[0])
		if out, err := w.RunKubectl(t, text, "create", "-f", "-"); err == nil || !strings.Contains(out, "vvpNamespace") {
			t.Errorf("%s with the labels of its source: got %v: %s, want a denial", kind, err, out)
		}
		modified := w.MustKubectl(t, text, "patch", "--local", "-f", "-", "--type=merge", "-p", restoreModifier, "-o", "json")
		var created unstructured.Unstructured
		if err := json.Unmarshal([]byte(w.MustKubectl(t, modified, "create", "-f", "-", "-o", "json")), &created.Object); err != nil {
			t.Fatal(err)
		}
		if labels := created.GetLabels(); labels["vvpNamespace"] != "team-b" || labels["system"] != "ververica-platform" || labels["app"] != "my-job" {
			t.Errorf("labels of the restored %s: got %v, want those of team-b", kind, labels)
		}
	}
}

// documentedModifier returns the patch of docs/how-to/operate.md, which Velero applies to each
// restored workload.
func documentedModifier(t *testing.T) string {
	t.Helper()
	blocks, err := page.CheckedBy("../..", "TestRestoreToMappedNamespace")
	if err != nil {
		t.Fatal(err)
	}
	var modifiers struct {
		ResourceModifierRules []struct {
			MergePatches []struct{ PatchData string }
		}
	}
	for _, text := range blocks {
		if err := yaml.Unmarshal([]byte(text), &modifiers); err != nil {
			t.Fatal(err)
		}
	}
	return modifiers.ResourceModifierRules[0].MergePatches[0].PatchData
}
