package kubectl

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"drey.dev/drey/test/framework/eventually"
	"drey.dev/drey/webhook/flink"
)

// TestSuspendedCustomResourceHoldsTarget deletes the target of a suspended custom
// resource through kubectl and REST. The deletion is denied, so a resumed job starts in a
// registered namespace.
func TestSuspendedCustomResourceHoldsTarget(t *testing.T) {
	w := withFlink(t)
	t.Parallel()
	for _, c := range flink.CustomResources {
		t.Run(c.Kind, func(t *testing.T) {
			ns := w.Namespace(t)
			alice := w.admin(t, ns)
			w.MustKubectl(t, targetYAML("own", "", ns), alice.as(ns, "apply", "-f", "-")...)
			w.whenServed(t, suspended(c, "orders"), "apply", "-n", ns, "-f", "-")
			held := c.Kind + ` "orders" in Kubernetes namespace "` + ns + `"`
			denial := "cannot be deleted while it is referenced: " + held
			for _, args := range [][]string{{"delete", "dt", "own"}, {"delete", "dt", "own", "--dry-run=server"}, {"delete", "dt", "--all"}} {
				w.wantDenied(t, denial, "", alice.as(ns, args...)...)
			}
			eventually.OK(t, func() error { // until the REST server's watch has the object
				status, failure := alice.call(t, http.MethodDelete, "/api/v1/namespaces/"+ns+"/deployment-targets/own", "")
				if status != http.StatusConflict || failure.Reason != "TargetReferenced" || !strings.Contains(failure.Message, denial) {
					return fmt.Errorf("REST: got %d %+v, want 409 and %q", status, failure, denial)
				}
				return nil
			})
			resource := c.Resource + "." + c.Group
			w.MustKubectl(t, "", "patch", resource, "orders", "-n", ns, "--type=merge", "-p", `{"spec":{"job":{"state":"running"}}}`)
			if label := w.MustKubectl(t, "", "get", "namespace", ns, "-o", `jsonpath={.metadata.labels.drey\.dev/registered}`); label != "true" {
				t.Errorf("got the label drey.dev/registered=%q after the job is resumed, want true", label)
			}
			w.MustKubectl(t, "", "delete", resource, "orders", "-n", ns)
			w.MustKubectl(t, "", alice.as(ns, "delete", "dt", "own")...)
		})
	}
}

// TestPreviewDeleteForbiddenCustomResources previews and deletes a target without the
// permission to list custom resources: the error names each kind that the cluster serves,
// and nothing is deleted. Kinds that the cluster does not serve need no permission.
func TestPreviewDeleteForbiddenCustomResources(t *testing.T) {
	w := withFlink(t)
	t.Parallel()
	ns := w.Namespace(t)
	w.MustKubectl(t, strings.ReplaceAll(onlyThere, "HOME", ns), "apply", "-f", "-")
	w.MustKubectl(t, targetYAML("own", "", ns), "apply", "-n", ns, "-f", "-")
	run := w.plugin(t, w.kubeconfigOf(t, "developer", ns))
	out, code := run("", "targets", "delete", "own", "--preview")
	if code == 0 || code == 4 && !strings.Contains(out, "list") || !strings.Contains(out, `cannot list resource "flinkdeployments" in API group "flink.apache.org" in the namespace "`+ns+`"`) {
		t.Errorf("got exit code %d: %s", code, out)
	}
	w.MustKubectl(t, strings.ReplaceAll(mayListFlink, "HOME", ns), "apply", "-f", "-")
	w.whenServed(t, suspended(flink.CustomResources[0], "orders"), "apply", "-n", ns, "-f", "-")
	eventually.OK(t, func() error { // RBAC takes effect after a delay
		if out, code := run("", "targets", "delete", "own", "--preview"); code != 4 || !strings.Contains(out, "FlinkDeployment   orders in Kubernetes namespace "+ns) {
			return fmt.Errorf("got exit code %d: %s", code, out)
		}
		return nil
	})
	if out, code := run("", "targets", "delete", "own"); code != 4 || !strings.Contains(out, `FlinkDeployment "orders"`) {
		t.Errorf("got exit code %d: %s", code, out)
	}
	w.MustKubectl(t, "", "delete", "flinkdeployments", "orders", "-n", ns)
	if out, code := run("", "targets", "delete", "own", "--preview"); code != 0 || !strings.Contains(out, "DeploymentTarget own has no references and can be deleted") {
		t.Errorf("got exit code %d: %s", code, out)
	}
}

const mayListFlink = `
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: flink, namespace: HOME}
rules:
- {apiGroups: [flink.apache.org, flinkoperator.k8s.io, flink.k8s.io], resources: ["*"], verbs: [list]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: flink, namespace: HOME}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: flink}
subjects: [{kind: ServiceAccount, name: developer, namespace: HOME}]
`

// withFlink returns the world whose cluster serves Flink's custom resources. [TestDreyUnavailable], which
// is not parallel, kills its drey.
func withFlink(t *testing.T) *world {
	t.Helper()
	w, err := flinkWorld()
	if err != nil {
		t.Fatal(err)
	}
	w.drey.LogOnFailure(t)
	return w
}

// whenServed runs kubectl until it succeeds: a new target takes effect after a delay.
func (w *world) whenServed(t *testing.T, manifest string, args ...string) {
	t.Helper()
	eventually.OK(t, func() error {
		if out, err := w.RunKubectl(t, manifest, args...); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
}

// suspended returns a suspended custom resource, which has no pods.
func suspended(c flink.CustomResource, name string) string {
	return fmt.Sprintf("apiVersion: %s/%s\nkind: %s\nmetadata: {name: %s}\nspec: {job: {jarURI: 'local:///opt/flink/orders.jar', state: suspended}}\n", c.Group, c.Version, c.Kind, name)
}

// kubeconfigOf writes the kubeconfig of a ServiceAccount, with a context named after each
// namespace. The account's own namespace is current.
func (w *world) kubeconfigOf(t *testing.T, account, namespace string, others ...string) string {
	t.Helper()
	k := api.NewConfig()
	k.Clusters["here"] = &api.Cluster{Server: w.Config().Host, CertificateAuthorityData: w.Config().CAData}
	k.AuthInfos["me"] = &api.AuthInfo{Token: strings.TrimSpace(w.MustKubectl(t, "", "create", "token", account, "-n", namespace))}
	for _, n := range append(others, namespace) {
		k.Contexts[n] = &api.Context{Cluster: "here", AuthInfo: "me", Namespace: n}
	}
	k.CurrentContext = namespace
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*k, path); err != nil {
		t.Fatal(err)
	}
	return path
}
