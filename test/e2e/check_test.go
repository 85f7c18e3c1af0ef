package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"drey.dev/drey/test/framework/fixtures"
	webhookconfig "drey.dev/drey/webhook/config"
)

// TestCheckFixtures compares the verdict of drey check on a manifest with that of the API
// server. For a kind without admission, the API server decides on the pod of its template.
func TestCheckFixtures(t *testing.T) {
	t.Parallel() // the subtests are not: fixtures share names in the registry
	w := sharedWorld(t)
	cases := fixtures.All(t)
	for name, object := range workloadsWithoutAdmission(t) {
		for _, targets := range [][]string{nil, {"team-a/one"}, {"team-a/one", "team-b/two"}} {
			cases = append(cases, fixtures.Case{Name: fmt.Sprintf("%s with %d targets", name, len(targets)), Targets: targets, Mode: webhookconfig.Enforce, Object: object})
		}
	}
	denied, kinds := 0, map[string]bool{}
	for _, c := range cases {
		if len(c.Existing) > 0 || c.Mode != webhookconfig.Enforce || c.Kind() == "Service" && c.Object["apiVersion"] == "v1" || c.Kind() == "ConfigMap" {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			namespace := w.Namespace(t)
			c := w.prepare(t, c, namespace)
			want := c.Object
			if pod := podOf(c.Object); resources[c.Kind()].Resource == "" || c.Object["apiVersion"] == "serving.knative.dev/v1" || pod != nil && len(c.Paths()) == 0 {
				want = pod
			}
			denial := w.deniedOrWarned(t, namespace, want)
			allowed, out := w.check(t, c.Object, namespace)
			if allowed != (denial == "") {
				t.Errorf("drey check: got %s\nwant the verdict of the API server: %v", out, denial)
			}
			if !allowed {
				denied++
				kinds[c.Kind()] = true
			}
		})
	}
	if denied < 20 || len(kinds) < 15 {
		t.Errorf("denied cases: got %d of %d kinds, want at least 20 of 15", denied, len(kinds))
	}
}

// workloadsWithoutAdmission returns objects with a pod template, of kinds that no webhook
// matches.
func workloadsWithoutAdmission(t *testing.T) map[string]map[string]any {
	t.Helper()
	template := podTemplate(t)
	spec := map[string]any{"template": template}
	object := func(apiVersion, kind, field string, value any) map[string]any {
		return map[string]any{"apiVersion": apiVersion, "kind": kind, "metadata": map[string]any{"name": "parcels"}, field: value}
	}
	return map[string]map[string]any{
		"Service of Knative":                  object("serving.knative.dev/v1", "Service", "spec", spec),
		"custom resource with a pod template": object("example.com/v1", "Fleet", "spec", spec),
		"custom resource with a Job template": object("example.com/v1", "Nightly", "spec", map[string]any{"jobTemplate": map[string]any{"spec": spec}}),
		"PodTemplate":                         object("v1", "PodTemplate", "template", template),
		"DeploymentConfig of OpenShift":       object("apps.openshift.io/v1", "DeploymentConfig", "spec", spec),
	}
}

func podTemplate(t *testing.T) map[string]any {
	t.Helper()
	var o map[string]any
	if err := json.Unmarshal([]byte(`{"metadata": {"labels": {"app": "parcels", "component": "jobmanager"}}, "spec": {"containers": [{"name": "jobmanager", "image": "flink:2.2", "args": ["jobmanager"]}]}}`), &o); err != nil {
		t.Fatal(err)
	}
	return o
}

// podOf returns the pod that the controller of an object creates from its template, or nil.
func podOf(object map[string]any) map[string]any {
	for _, path := range [][]string{{"spec", "template"}, {"spec", "jobTemplate", "spec", "template"}, {"template"}} {
		if template, ok, _ := unstructured.NestedMap(object, path...); ok {
			u := unstructured.Unstructured{Object: object}
			metadata, _ := template["metadata"].(map[string]any)
			if metadata == nil {
				metadata = map[string]any{}
			}
			metadata["name"] = u.GetName() + "-0"
			metadata["ownerReferences"] = []any{map[string]any{
				"apiVersion": u.GetAPIVersion(), "kind": u.GetKind(), "name": u.GetName(), "uid": "0d0d0d0d-0000-4000-8000-000000000009", "controller": true,
			}}
			return map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
		}
	}
	return nil
}

// TestCheckInputFormats runs drey check on each form of input: it reads the objects that
// kubectl reads. kubectl rejects only a list in a list.
func TestCheckInputFormats(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	paths, err := filepath.Glob("../../cmd/drey/cli/verdicts/testdata/check/*")
	if err != nil || len(paths) < 10 {
		t.Fatalf("files: got %d (%v), want at least 10", len(paths), err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			_, out := w.runCheck(t, "", "-f", path, "-n", "default")
			if filepath.Base(path) == "list.yaml" {
				if !strings.Contains(out, "\n3 objects read: ") {
					t.Errorf("drey check: got\n%s\nwant 3 objects", out)
				}
				return
			}
			names := strings.Fields(w.MustKubectl(t, "", "label", "--local", "-f", path, "a=b", "-o", "name"))
			if want := fmt.Sprintf("%d objects read", len(names)); !strings.Contains(out, strings.Replace(want, "1 objects", "1 object", 1)) {
				t.Errorf("drey check: got\n%s\nwant %d objects as kubectl: %v", out, len(names), names)
			}
		})
	}
}

// check runs drey check on an object.
func (w *world) check(t *testing.T, object map[string]any, namespace string) (allowed bool, out string) {
	t.Helper()
	manifest, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return w.runCheck(t, string(manifest), "-f", "-", "-n", namespace)
}

// runCheck runs drey check against the registry of the world.
func (w *world) runCheck(t *testing.T, stdin string, args ...string) (allowed bool, out string) {
	t.Helper()
	program, err := buildDrey()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, append([]string{"check", "--server", w.drey.REST}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	text, err := cmd.CombinedOutput()
	exit, failed := errors.AsType[*exec.ExitError](err)
	if err != nil && (!failed || exit.ExitCode() != 6) {
		t.Fatalf("drey check: %v\n%s", err, text)
	}
	return err == nil, string(text)
}
