package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"drey.dev/drey/test/framework/eventually"
	"drey.dev/drey/test/framework/fixtures"
	"drey.dev/drey/webhook/config"
)

// ofKind is a workload that runs a JobManager. It makes no pods.
func ofKind(apiVersion, kind string) string {
	selector := "{matchLabels: {app: parcels}}"
	if kind == "ReplicationController" {
		selector = "{app: parcels}"
	}
	replicas := "replicas: 0"
	if kind == "DaemonSet" { // there is no node
		replicas = "minReadySeconds: 0"
	}
	return fmt.Sprintf(`
apiVersion: %s
kind: %s
metadata: {name: parcels}
spec:
  %s
  selector: %s
  template:
    metadata: {labels: {app: parcels, component: jobmanager}}
    spec: {containers: [{name: jobmanager, image: "flink:2.2", args: [jobmanager]}]}
`, apiVersion, kind, replicas, selector)
}

// TestWorkloadKindsGated at kubectl apply: refused where no target is and
// where there are two, until the command of the denial has been run.
func TestWorkloadKindsGated(t *testing.T) {
	w := inWorld(t)
	t.Parallel()
	for kind, apiVersion := range map[string]string{"DaemonSet": "apps/v1", "ReplicaSet": "apps/v1", "ReplicationController": "v1", "Rollout": "argoproj.io/v1alpha1"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			namespace := w.Namespace(t)
			manifest := ofKind(apiVersion, kind)
			out, err := w.RunKubectl(t, manifest, "apply", "-n", namespace, "-f", "-")
			if err == nil || !strings.Contains(out, "Error from server (Forbidden)") || !strings.Contains(out, fmt.Sprintf("namespace %q has no DeploymentTarget", namespace)) {
				t.Fatalf("without a target: %v %s", err, out)
			}
			post(t, out)
			w.register(t, "team-b", namespace)
			file := writeFile(t, manifest)
			if out, err = w.RunKubectl(t, "", "apply", "-n", namespace, "-f", file); err == nil || !strings.Contains(out, "DeploymentTargets of the platform namespaces") {
				t.Fatalf("with two targets: %v %s", err, out)
			}
			w.shell(t, strings.Replace(settle(t, out), "FILE", file, 1))
			made := w.list(t, kind, namespace)
			if len(made) != 1 || len(made[0].GetLabels()) != 0 && kind != "ReplicationController" { // which has its template's labels by default
				t.Errorf("got %v, want one without labels", made)
			}
		})
	}
}

// TestDeploymentRolloutNoReview: its ReplicaSets are not sent.
func TestDeploymentRolloutNoReview(t *testing.T) {
	w := inWorld(t) // not parallel: it counts calls
	namespace := w.Namespace(t)
	w.register(t, "team-a", namespace)
	sets := func(want int) {
		t.Helper()
		eventually.OK(t, 20*time.Second, func() error {
			if n := len(w.list(t, "ReplicaSet", namespace)); n != want {
				return fmt.Errorf("%d ReplicaSets, want %d", n, want)
			}
			return nil
		})
	}
	w.MustKubectl(t, ofKind("apps/v1", "Deployment"), "apply", "-n", namespace, "-f", "-")
	sets(1)
	before := reviews(t, w)
	w.MustKubectl(t, "", "set", "env", "-n", namespace, "deployment/parcels", "A=b")
	sets(2)
	if calls := reviews(t, w) - before; calls != 0 {
		t.Errorf("drey was called %d times", calls)
	}
}

// TestCheckFixtures: drey check of a manifest says what comes of it. What
// is not gated is judged as the pods of its template.
func TestCheckFixtures(t *testing.T) {
	w := inWorld(t) // not parallel: cases share names in the registry
	cases := fixtures.All(t)
	for name, object := range ungated(t) {
		for _, targets := range [][]string{nil, {"team-a/one"}, {"team-a/one", "team-b/two"}} {
			cases = append(cases, fixtures.Case{Name: fmt.Sprintf("%s with %d targets", name, len(targets)), Targets: targets, Mode: config.Enforce, Object: object})
		}
	}
	denied, kinds := 0, map[string]bool{}
	for _, c := range cases {
		if len(c.Existing) > 0 || c.Mode != config.Enforce || c.Kind() == "Service" && c.Object["apiVersion"] == "v1" || c.Kind() == "ConfigMap" {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			namespace := w.Namespace(t)
			c := w.prepare(t, c, namespace)
			want := c.Object
			if pod := podOf(c.Object); resources[c.Kind()].Resource == "" || c.Object["apiVersion"] == "serving.knative.dev/v1" || pod != nil && len(c.Paths()) == 0 {
				want = pod
			}
			_, err := w.create(t.Context(), namespace, clone(t, want), metav1.DryRunAll)
			if err != nil && !apierrors.IsForbidden(err) {
				t.Fatal(err)
			}
			allowed, out := w.check(t, c.Object, namespace)
			if allowed != (err == nil) {
				t.Errorf("the API server says %v, and drey check\n%s", err, out)
			}
			if !allowed {
				denied++
				kinds[c.Kind()] = true
			}
		})
	}
	if denied < 20 || len(kinds) < 15 {
		t.Errorf("%d cases of %d kinds are denied: they show little", denied, len(kinds))
	}
}

// ungated are objects with a pod template of kinds that no webhook is sent.
func ungated(t *testing.T) map[string]map[string]any {
	t.Helper()
	template := podTemplate(t)
	spec := map[string]any{"template": template}
	object := func(apiVersion, kind, field string, value any) map[string]any {
		return map[string]any{"apiVersion": apiVersion, "kind": kind, "metadata": map[string]any{"name": "parcels"}, field: value}
	}
	return map[string]map[string]any{
		"Service of Knative":            object("serving.knative.dev/v1", "Service", "spec", spec),
		"custom resource of pods":       object("example.com/v1", "Fleet", "spec", spec),
		"custom resource of Jobs":       object("example.com/v1", "Nightly", "spec", map[string]any{"jobTemplate": map[string]any{"spec": spec}}),
		"PodTemplate":                   object("v1", "PodTemplate", "template", template),
		"Deployment that OpenShift has": object("apps.openshift.io/v1", "DeploymentConfig", "spec", spec),
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

// podOf is the pod that the controller of an object makes of its template.
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

// TestCheckInputFormats in every form of input. A list in a list is
// the one form that kubectl refuses.
func TestCheckInputFormats(t *testing.T) {
	w := inWorld(t)
	t.Parallel()
	paths, err := filepath.Glob("../../cmd/drey/cli/testdata/check/*")
	if err != nil || len(paths) < 10 {
		t.Fatalf("%d files: %v", len(paths), err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			_, out := w.runCheck(t, "", "-f", path, "-n", "default")
			if filepath.Base(path) == "list.yaml" {
				if !strings.Contains(out, "\n3 objects read: ") {
					t.Errorf("drey check says\n%s", out)
				}
				return
			}
			names := strings.Fields(w.MustKubectl(t, "", "label", "--local", "-f", path, "a=b", "-o", "name"))
			if want := fmt.Sprintf("%d objects read", len(names)); !strings.Contains(out, strings.Replace(want, "1 objects", "1 object", 1)) {
				t.Errorf("kubectl reads %v, and drey check says\n%s", names, out)
			}
		})
	}
}

// check runs drey check on an object, by the registry of the world's drey.
func (w *world) check(t *testing.T, object map[string]any, namespace string) (allowed bool, out string) {
	t.Helper()
	manifest, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return w.runCheck(t, string(manifest), "-f", "-", "-n", namespace)
}

func (w *world) runCheck(t *testing.T, stdin string, args ...string) (allowed bool, out string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(w.Dir(), "drey"), append([]string{"check", "--server", w.drey.REST}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	text, err := cmd.CombinedOutput()
	exit, failed := errors.AsType[*exec.ExitError](err)
	if err != nil && (!failed || exit.ExitCode() != 6) {
		t.Fatalf("drey check: %v\n%s", err, text)
	}
	return err == nil, string(text)
}
