package kubectl

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"drey.dev/drey/test/framework/fixtures"
)

// newSet returns the manifests of a set with a namespace of its own, which does not exist.
func (w *world) newSet(t *testing.T) (namespace, manifests string) {
	t.Helper()
	home := w.Namespace(t)
	namespace = home + "-set"
	return namespace, fixtures.Set(namespace, home)
}

// TestSetApply applies sets in the order of their manifests: the workloads after the target
// are admitted.
func TestSetApply(t *testing.T) {
	w := withFlink(t)
	t.Parallel()
	for range 5 {
		_, manifests := w.newSet(t)
		if out, err := w.RunKubectl(t, manifests, "apply", "-f", "-"); err != nil {
			t.Errorf("kubectl apply: %v: %s", err, out)
		}
	}
}

// TestSetDelete deletes sets with their namespaces, as kubectl delete -f and -k do: the deletions of the targets
// succeed while the workloads terminate. In a namespace that stays, a workload holds its target.
func TestSetDelete(t *testing.T) {
	w := withFlink(t)
	t.Parallel()
	for range 3 {
		namespace, manifests := w.newSet(t)
		w.MustKubectl(t, manifests, "apply", "-f", "-")
		w.MustKubectl(t, "", "wait", "--for=create", "pod", "-l", "app=flink", "-n", namespace)
		if out, err := w.RunKubectl(t, manifests, "delete", "--ignore-not-found", "-f", "-"); err != nil { // the deletion of the namespace may be faster
			t.Errorf("kubectl delete: %v: %s", err, out)
		}
	}
	_, manifests := w.newSet(t)
	w.MustKubectl(t, manifests, "apply", "-f", "-")
	w.wantDenied(t, "cannot be deleted while it is referenced", objects(manifests, "DeploymentTarget"), "delete", "-f", "-")
}

// TestSetWithoutPause creates the target of an existing namespace, and Flink workloads as soon as the
// API server has responded: all are admitted, and the pod is labeled.
func TestSetWithoutPause(t *testing.T) {
	w := withFlink(t)
	t.Parallel()
	config := rest.CopyConfig(w.Config())
	config.QPS = -1
	api, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		manifests := fixtures.Set(w.Namespace(t), w.Namespace(t))
		parts := strings.Split(manifests, "---")
		for _, text := range []string{parts[1], parts[4], parts[2], parts[3]} { // the pod directly after the target
			var o unstructured.Unstructured
			if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
				t.Fatal(err)
			}
			gvr := map[string]schema.GroupVersionResource{
				"DeploymentTarget": {Group: "drey.dev", Version: "v1", Resource: "deploymenttargets"},
				"Deployment":       {Group: "apps", Version: "v1", Resource: "deployments"},
				"FlinkDeployment":  {Group: "flink.apache.org", Version: "v1beta1", Resource: "flinkdeployments"},
				"Pod":              {Version: "v1", Resource: "pods"},
			}[o.GetKind()]
			created, err := api.Resource(gvr).Namespace(o.GetNamespace()).Create(t.Context(), &o, metav1.CreateOptions{})
			if err != nil {
				t.Errorf("create %s: %v", o.GetKind(), err)
			} else if o.GetKind() == "Pod" && created.GetLabels()["system"] != "ververica-platform" {
				t.Errorf("labels of the pod: got %v, want drey's", created.GetLabels())
			}
		}
	}
}

// objects returns the manifests of the set's objects of some kinds, in the order of the kinds.
func objects(manifests string, kinds ...string) string {
	var all []string
	for _, kind := range kinds {
		for _, o := range strings.Split(manifests, "---") {
			if strings.Contains(o, "\nkind: "+kind+"\n") {
				all = append(all, o)
			}
		}
	}
	return strings.Join(all, "---")
}

// warned is the warning of a dry run for each workload of a set.
const warned = "Warning: drey would deny this: namespace"

// TestSetDryRun dry-runs a set in a namespace without a target, as kubectl diff and Flux do: it
// passes, with a warning for each workload, and changes nothing. The workloads without their target
// are denied.
func TestSetDryRun(t *testing.T) {
	w := withFlink(t)
	t.Parallel()
	namespace, manifests := w.newSet(t)
	w.MustKubectl(t, "", "create", "namespace", namespace)
	w.MustKubectl(t, "", "wait", "--for=create", "serviceaccount/default", "-n", namespace)
	for _, args := range [][]string{{"apply", "--dry-run=server"}, {"apply", "--server-side", "--dry-run=server"}, {"create", "--dry-run=server"}, {"diff"}} {
		text := manifests
		if args[0] == "create" { // the namespace exists
			text = objects(manifests, "DeploymentTarget", "Deployment", "FlinkDeployment", "Pod")
		}
		out, err := w.RunKubectl(t, text, append(args, "-f", "-")...)
		if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && (!ok || args[0] != "diff" || exit.ExitCode() != 1) {
			t.Errorf("kubectl %v: %v: %s", args, err, out)
		}
		if n := strings.Count(out, warned); n < 3 {
			t.Errorf("kubectl %v: got %d warnings, want one for each of 3 workloads: %s", args, n, out)
		}
	}
	for _, kind := range []string{"Deployment", "FlinkDeployment", "Pod"} {
		w.wantDenied(t, "has no DeploymentTarget", objects(manifests, kind), "apply", "-f", "-")
	}
}

// TestSetKustomize applies a set with kubectl apply -k. By default kustomize puts a Deployment before
// the target: it is denied, and a second apply succeeds. In the order of the manifests the first one does.
func TestSetKustomize(t *testing.T) {
	w := withFlink(t)
	t.Parallel()
	apply := func(kustomization string) func() (string, error) {
		_, manifests := w.newSet(t)
		dir := t.TempDir()
		for name, text := range map[string]string{"all.yaml": manifests, "kustomization.yaml": kustomization} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return func() (string, error) { return w.RunKubectl(t, "", "apply", "-k", dir) }
	}
	fifo := apply("resources: [all.yaml]\nsortOptions: {order: fifo}\n")
	if out, err := fifo(); err != nil {
		t.Errorf("kubectl apply -k with the order fifo: %v: %s", err, out)
	}
	legacy := apply("resources: [all.yaml]\n")
	if out, err := legacy(); err == nil || strings.Count(out, "has no DeploymentTarget") != 1 || !strings.Contains(out, "deploymenttarget.drey.dev") {
		t.Errorf("first kubectl apply -k: got %v: %s, want a denial of the Deployment alone", err, out)
	}
	if out, err := legacy(); err != nil {
		t.Errorf("second kubectl apply -k: %v: %s", err, out)
	}
}

// TestSetFlux applies a set as Flux's kustomize-controller does: namespaces, then a server-side dry
// run of all other objects, then server-side apply in its order of kinds.
func TestSetFlux(t *testing.T) {
	w := withFlink(t)
	t.Parallel()
	ssa := func(manifests string, flags ...string) (string, error) {
		return w.RunKubectl(t, manifests, append([]string{"apply", "--server-side", "--force-conflicts", "--field-manager=kustomize-controller", "-f", "-"}, flags...)...)
	}
	for way, stages := range map[string][][]string{
		"dependsOn":                  {{"Namespace"}, {"DeploymentTarget"}, {"Deployment", "FlinkDeployment", "Pod"}},
		"--custom-apply-stage-kinds": {{"Namespace"}, {"DeploymentTarget"}, {"Deployment", "FlinkDeployment", "Pod"}},
	} {
		t.Run(way, func(t *testing.T) {
			namespace, manifests := w.newSet(t)
			for i, kinds := range stages {
				stage := objects(manifests, kinds...)
				if out, err := ssa(stage, "--dry-run=server"); err != nil {
					t.Fatalf("dry run of stage %d: %v: %s", i, err, out)
				}
				if out, err := ssa(stage); err != nil {
					t.Fatalf("stage %d: %v: %s", i, err, out)
				}
				if way == "dependsOn" && i == 1 { // the Kustomization of the target has wait: true
					w.MustKubectl(t, "", "wait", "--for=condition=Ready", "dt/"+namespace, "-n", strings.TrimSuffix(namespace, "-set"))
				}
			}
			if out, err := ssa(manifests, "--dry-run=server"); err != nil || strings.Contains(out, "Warning") { // the next reconciliation
				t.Errorf("dry run afterwards: %v: %s", err, out)
			}
		})
	}
	t.Run("one stage", func(t *testing.T) { // the dry run passes, and the error names the remedy
		_, manifests := w.newSet(t)
		w.MustKubectl(t, objects(manifests, "Namespace"), "apply", "-f", "-")
		rest := objects(manifests, "Deployment", "DeploymentTarget", "FlinkDeployment", "Pod")
		if out, err := ssa(rest, "--dry-run=server"); err != nil || strings.Count(out, warned) != 3 {
			t.Errorf("dry run: got %v: %s, want 3 warnings", err, out)
		}
		w.wantDenied(t, "has no DeploymentTarget", objects(manifests, "Deployment"), "apply", "--server-side", "-f", "-")
	})
}

// TestSetArgoCD applies a set as Argo CD does, with the target in an earlier sync wave, by client-side and by
// server-side apply.
func TestSetArgoCD(t *testing.T) {
	w := withFlink(t)
	t.Parallel()
	for option, flags := range map[string][]string{
		"client-side apply":    nil,
		"ServerSideApply=true": {"--server-side", "--field-manager=argocd-controller"},
	} {
		t.Run(option, func(t *testing.T) {
			namespace, manifests := w.newSet(t)
			manifests = strings.Replace(manifests, "namespace: "+strings.TrimSuffix(namespace, "-set")+"}", "namespace: "+strings.TrimSuffix(namespace, "-set")+`, annotations: {argocd.argoproj.io/sync-wave: "-1"}}`, 1)
			apply := func(text string, more ...string) {
				t.Helper()
				w.MustKubectl(t, text, slices.Concat([]string{"apply", "-f", "-"}, flags, more)...)
			}
			w.MustKubectl(t, "", "create", "namespace", namespace) // CreateNamespace=true
			apply(objects(manifests, "DeploymentTarget", "Deployment", "FlinkDeployment", "Pod"), "--dry-run=server")
			apply(objects(manifests, "DeploymentTarget"))
			w.MustKubectl(t, "", "wait", "--for=condition=Ready", "dt/"+namespace, "-n", strings.TrimSuffix(namespace, "-set")) // the health check of docs/how-to/operate.md
			apply(objects(manifests, "Pod", "Deployment", "FlinkDeployment"))
		})
	}
}
