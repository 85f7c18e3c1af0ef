package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"drey.dev/drey/test/framework/eventually"
)

// namespaceManifest returns a namespace as its owner wrote it, with more labels.
func namespaceManifest(name, labels string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata: {name: %s, labels: {team: checkout%s}}\n", name, labels)
}

// registeredTrue is a label in flow style, as an export of a registered namespace has it.
const registeredTrue = `, drey.dev/registered: "true"`

// TestNamespaceTools writes a registered namespace as tools do, with and without the label
// drey.dev/registered. All writes succeed, and the label never changes, so that no pod is denied
// in between.
func TestNamespaceTools(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	admin := w.impersonate(t, clusterAdmin).Resource(resources["Namespace"])
	patch := func(kind types.PatchType, text string) func(*testing.T, string) error {
		return func(t *testing.T, name string) error {
			_, err := admin.Patch(t.Context(), name, kind, []byte(text), metav1.PatchOptions{})
			return err
		}
	}
	kubectl := func(labels string, args ...string) func(*testing.T, string) error {
		return func(t *testing.T, name string) error {
			out, err := w.RunKubectl(t, namespaceManifest(name, labels), append(args, "-f", "-")...)
			if err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			return nil
		}
	}
	all := func(steps ...func(*testing.T, string) error) func(*testing.T, string) error {
		return func(t *testing.T, name string) error {
			for i, step := range steps {
				if err := step(t, name); err != nil {
					return fmt.Errorf("step %d: %w", i+1, err)
				}
			}
			return nil
		}
	}
	for tool, write := range map[string]func(*testing.T, string) error{
		"kubectl replace":                                  kubectl("", "replace"),
		"kubectl replace of an export":                     kubectl(registeredTrue, "replace"),
		"kubectl replace, another value":                   kubectl(", drey.dev/registered: draining", "replace"),
		"kubectl replace in a dry run":                     kubectl("", "replace", "--dry-run=server"),
		"kubectl apply of an export, then of the manifest": all(kubectl(registeredTrue, "apply"), kubectl("", "apply")),
		"Argo CD with Replace=true":                        all(kubectl("", "replace", "--save-config"), kubectl("", "replace", "--save-config")),
		"Flux":                                             all(kubectl(registeredTrue, "apply", "--server-side", "--field-manager=kustomize-controller", "--force-conflicts"), kubectl("", "apply", "--server-side", "--field-manager=kustomize-controller", "--force-conflicts")),
		"Terraform kubernetes_namespace":                   patch(types.JSONPatchType, `[{"op":"remove","path":"/metadata/labels/drey.dev~1registered"}]`),
		"Velero with existingResourcePolicy":               patch(types.MergePatchType, `{"metadata":{"labels":{"drey.dev/registered":"true","velero.io/restore-name":"a"}}}`),
		"a PUT without labels": func(t *testing.T, name string) error {
			n := w.get(t, "Namespace", "", name)
			n.SetLabels(nil)
			_, err := admin.Update(t.Context(), n, metav1.UpdateOptions{})
			return err
		},
		"a PUT of the status": func(t *testing.T, name string) error {
			n := w.get(t, "Namespace", "", name)
			n.SetLabels(nil)
			_, err := admin.UpdateStatus(t.Context(), n, metav1.UpdateOptions{})
			return err
		},
		"a PUT of finalize": func(t *testing.T, name string) error {
			n := w.get(t, "Namespace", "", name)
			n.SetLabels(nil)
			_, err := admin.Update(t.Context(), n, metav1.UpdateOptions{}, "finalize")
			return err
		},
	} {
		t.Run(tool, func(t *testing.T) {
			t.Parallel()
			namespace := w.Namespace(t)
			w.register(t, "team-a", namespace)
			watch, err := w.api.Resource(resources["Namespace"]).Watch(t.Context(), metav1.ListOptions{FieldSelector: "metadata.name=" + namespace})
			if err != nil {
				t.Fatal(err)
			}
			defer watch.Stop()
			if err := write(t, namespace); err != nil {
				t.Error(err)
			}
			w.MustKubectl(t, "", "annotate", "namespace", namespace, "end=yes")
			for event := range watch.ResultChan() {
				n := event.Object.(*unstructured.Unstructured)
				if got := n.GetLabels()["drey.dev/registered"]; got != "true" {
					t.Errorf("%s: got drey.dev/registered=%q, want true", event.Type, got)
				}
				if n.GetAnnotations()["end"] != "" {
					return
				}
			}
		})
	}
}

// TestNamespaceRestore creates namespaces from backups with the label drey.dev/registered, as
// Velero does: the namespace is created, and has the label only if it has a target.
func TestNamespaceRestore(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	name := w.Namespace(t) + "-restored"
	registered, mapped := name, name+"-mapped"
	w.register(t, "team-a", registered)
	for _, n := range []string{registered, mapped} {
		out := w.MustKubectl(t, namespaceManifest(n, registeredTrue), "create", "-f", "-")
		if !strings.Contains(out, "Warning: drey sets the label drey.dev/registered") {
			t.Errorf("kubectl create: got %s, want a warning", out)
		}
		t.Cleanup(func() {
			if err := w.KubectlCommand(context.Background(), "delete", "namespace", n, "--wait=false").Run(); err != nil {
				t.Error(err)
			}
		})
	}
	w.MustKubectl(t, "", "wait", "--for=create", "serviceaccount/default", "-n", mapped)
	if out, err := w.RunKubectl(t, fmt.Sprintf(bareFlinkPod, "restored"), "create", "-n", mapped, "-f", "-"); err == nil || !strings.Contains(out, "has no DeploymentTarget") {
		t.Errorf("Flink pod in a restored namespace without a target: got %v: %s, want a denial", err, out)
	}
	if got := w.registered(t, mapped); got != "" {
		t.Errorf("drey.dev/registered without a target: got %q, want none", got)
	}
	eventually.OK(t, func() error { return w.checkRegistered(t, registered, "true") })
}

// namespaceEditor may edit one namespace, as a tenant's administrator.
const namespaceEditor = `
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: namespace-editor}
rules: [{apiGroups: [""], resources: [namespaces, namespaces/status, namespaces/finalize, pods], verbs: ["*"]}]
`

// TestNamespaceAdminGainsNothing has a user with update on a namespace write the label
// drey.dev/registered: no write opens the namespace, and none is an error.
func TestNamespaceAdminGainsNothing(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	namespace := w.Namespace(t)
	user := "tenant-" + namespace
	w.MustKubectl(t, namespaceEditor, "create", "-n", namespace, "-f", "-")
	w.MustKubectl(t, "", "create", "rolebinding", "namespace-editor", "-n", namespace, "--role=namespace-editor", "--user="+user)
	api := w.impersonate(t, user).Resource(resources["Namespace"])
	for _, value := range []string{"true", "draining", "maybe"} {
		for _, subresources := range [][]string{nil, {"status"}} {
			if _, err := api.Patch(t.Context(), namespace, types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"labels":{"drey.dev/registered":%q}}}`, value), metav1.PatchOptions{}, subresources...); err != nil {
				t.Errorf("patch %v with %s: %v", subresources, value, err)
			}
			if err := w.checkRegistered(t, namespace, ""); err != nil {
				t.Error(err)
			}
		}
		if out, err := w.RunKubectl(t, fmt.Sprintf(bareFlinkPod, "denied"), "create", "--as="+user, "-n", namespace, "-f", "-"); err == nil || !strings.Contains(out, "has no DeploymentTarget") {
			t.Errorf("Flink pod after the label %s: got %v: %s, want a denial", value, err, out)
		}
	}
}

// namespaceToolsOutage writes namespaces while drey is down: a removal of true passes, and
// drey labels the namespace again when it is up. What opens a namespace, or ends the registration of
// a draining one, is denied, with the remedy.
func namespaceToolsOutage(t *testing.T, w *world) (c outageCase) {
	registered, draining, unregistered := w.Namespace(t), w.Namespace(t), w.Namespace(t)
	c.up = func(t *testing.T) {
		w.register(t, "team-a", registered)
		w.register(t, "default", draining)
		w.runJobManager(t, draining)
		w.removeTarget(t, draining)
		eventually.OK(t, func() error { return w.checkRegistered(t, draining, "draining") })
	}
	c.down = func(t *testing.T) {
		w.MustKubectl(t, namespaceManifest(registered, ""), "replace", "-f", "-")
		if err := w.checkRegistered(t, registered, ""); err != nil {
			t.Error(err)
		}
		for rule, c := range map[string]struct{ manifest, verb, says string }{
			"stated for an unregistered namespace": {namespaceManifest(unregistered, registeredTrue), "replace", "only drey sets the label drey.dev/registered"},
			"stated at creation":                   {namespaceManifest(unregistered+"-x", registeredTrue), "create", "only drey sets the label drey.dev/registered"},
			"stated again after a removal":         {namespaceManifest(registered, registeredTrue), "replace", "only drey sets the label drey.dev/registered"},
			"removed from a draining namespace":    {namespaceManifest(draining, ""), "replace", "kubectl label --local -f FILE drey.dev/registered=draining -o yaml"},
			"changed in a draining namespace":      {namespaceManifest(draining, registeredTrue), "replace", "only drey sets the label drey.dev/registered"},
		} {
			if out, err := w.RunKubectl(t, c.manifest, c.verb, "-f", "-"); err == nil || !strings.Contains(out, c.says) {
				t.Errorf("%s: got %v: %s, want a denial with %q", rule, err, out, c.says)
			}
		}
		if err := w.checkRegistered(t, draining, "draining"); err != nil {
			t.Error(err)
		}
		w.MustKubectl(t, namespaceManifest(draining, ", drey.dev/registered: draining"), "replace", "-f", "-")
	}
	c.again = func(t *testing.T) {
		eventually.OK(t, func() error { return w.checkRegistered(t, registered, "true") })
	}
	return c
}
