package kubectl

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"drey.dev/drey/manifests/bundle"
	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/drey"
	"drey.dev/drey/test/framework/drey/installed"
	"drey.dev/drey/test/framework/eventually"
	"drey.dev/drey/test/framework/fixtures"
	"drey.dev/drey/webhook/flink"
)

// TestSuspendedCustomResourceHoldsTarget against kubectl, REST and the plugin alike; so
// one that is resumed starts in a namespace that has a target.
func TestSuspendedCustomResourceHoldsTarget(t *testing.T) {
	w := withFlink(t)
	for _, c := range flink.CustomResources {
		t.Run(c.Kind, func(t *testing.T) {
			ns := w.Namespace(t)
			alice := w.admin(t, ns)
			w.MustKubectl(t, targetYAML("own", "", ns), alice.as(ns, "apply", "-f", "-")...)
			w.whenServed(t, suspended(c, "orders"), "apply", "-n", ns, "-f", "-")
			held := c.Kind + ` "orders" in Kubernetes namespace "` + ns + `"`
			says := "cannot be deleted while something refers to it: " + held
			for _, args := range [][]string{{"delete", "dt", "own"}, {"delete", "dt", "own", "--dry-run=server"}, {"delete", "dt", "--all"}} {
				w.refused(t, says, "", alice.as(ns, args...)...)
			}
			eventually.OK(t, 5*time.Second, func() error { // REST has a read of its own
				status, said := alice.call(t, http.MethodDelete, "/api/v1/namespaces/"+ns+"/deployment-targets/own", "")
				if status != http.StatusConflict || said.Reason != "TargetReferenced" || !strings.Contains(said.Message, says) {
					return fmt.Errorf("REST says %d %+v", status, said)
				}
				return nil
			})
			resource := c.Resource + "." + c.Group
			w.MustKubectl(t, "", "patch", resource, "orders", "-n", ns, "--type=merge", "-p", `{"spec":{"job":{"state":"running"}}}`)
			if mark := w.MustKubectl(t, "", "get", "namespace", ns, "-o", `jsonpath={.metadata.labels.drey\.dev/registered}`); mark != "true" {
				t.Errorf("it is resumed in a namespace that is marked %q", mark)
			}
			w.MustKubectl(t, "", "delete", resource, "orders", "-n", ns)
			w.MustKubectl(t, "", alice.as(ns, "delete", "dt", "own")...)
		})
	}
}

// TestPreviewDeleteForbiddenCustomResources: the kinds that the cluster serves and
// the person may not list are said, and nothing is deleted; those that it does not serve
// need no right.
func TestPreviewDeleteForbiddenCustomResources(t *testing.T) {
	w := withFlink(t)
	ns := w.Namespace(t)
	w.MustKubectl(t, strings.ReplaceAll(onlyThere, "HOME", ns), "apply", "-f", "-")
	w.MustKubectl(t, targetYAML("own", "", ns), "apply", "-n", ns, "-f", "-")
	run := w.plugin(t, w.kubeconfigOf(t, "developer", ns))
	out, code := run("", "targets", "delete", "own", "--preview")
	if code == 0 || code == 4 && !strings.Contains(out, "list") || !strings.Contains(out, `cannot list resource "flinkdeployments" in API group "flink.apache.org" in the namespace "`+ns+`"`) {
		t.Errorf("it ends with %d: %s", code, out)
	}
	w.MustKubectl(t, strings.ReplaceAll(mayListFlink, "HOME", ns), "apply", "-f", "-")
	w.whenServed(t, suspended(flink.CustomResources[0], "orders"), "apply", "-n", ns, "-f", "-")
	eventually.OK(t, 10*time.Second, func() error { // RBAC arrives by a watch
		if out, code := run("", "targets", "delete", "own", "--preview"); code != 4 || !strings.Contains(out, "FlinkDeployment   orders in Kubernetes namespace "+ns) {
			return fmt.Errorf("it ends with %d: %s", code, out)
		}
		return nil
	})
	if out, code := run("", "targets", "delete", "own"); code != 4 || !strings.Contains(out, `FlinkDeployment "orders"`) {
		t.Errorf("it ends with %d: %s", code, out)
	}
	w.MustKubectl(t, "", "delete", "flinkdeployments", "orders", "-n", ns)
	if out, code := run("", "targets", "delete", "own", "--preview"); code != 0 || !strings.Contains(out, "Nothing holds DeploymentTarget own") {
		t.Errorf("it ends with %d: %s", code, out)
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

// withFlink is a world of its own whose cluster serves Flink's custom resources.
func withFlink(t *testing.T) *world {
	t.Helper()
	c := cluster.Start(t)
	if err := fixtures.InstallCRDs(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	d, err := installed.Start(t.Context(), drey.Options{Cluster: c, DataDir: c.Dir(), Args: []string{"--rest-auth", "cluster"}}, bundle.Defaults())
	if err != nil {
		t.Fatal(err)
	}
	d.LogOnFailure(t)
	t.Cleanup(func() {
		if err := d.Stop(); err != nil {
			t.Error(err)
		}
	})
	return &world{c, d}
}

// whenServed runs kubectl until drey has heard of a target that was just made.
func (w *world) whenServed(t *testing.T, manifest string, args ...string) {
	t.Helper()
	eventually.OK(t, 20*time.Second, func() error {
		if out, err := w.RunKubectl(t, manifest, args...); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
}

// suspended is a custom resource that has no pods.
func suspended(c flink.CustomResource, name string) string {
	return fmt.Sprintf("apiVersion: %s/%s\nkind: %s\nmetadata: {name: %s}\nspec: {job: {jarURI: 'local:///opt/flink/orders.jar', state: suspended}}\n", c.Group, c.Version, c.Kind, name)
}

// kubeconfigOf writes the kubeconfig of a ServiceAccount, for its namespace.
func (w *world) kubeconfigOf(t *testing.T, account, namespace string) string {
	t.Helper()
	k := api.NewConfig()
	k.Clusters["here"] = &api.Cluster{Server: w.Config().Host, CertificateAuthorityData: w.Config().CAData}
	k.AuthInfos["me"] = &api.AuthInfo{Token: strings.TrimSpace(w.MustKubectl(t, "", "create", "token", account, "-n", namespace))}
	k.Contexts["mine"] = &api.Context{Cluster: "here", AuthInfo: "me", Namespace: namespace}
	k.CurrentContext = "mine"
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*k, path); err != nil {
		t.Fatal(err)
	}
	return path
}
