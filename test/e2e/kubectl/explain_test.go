package kubectl

import (
	"fmt"
	"strings"
	"testing"

	"drey.dev/drey/test/framework/eventually"
)

// fleetDefinition is a kind of others with pods and a short name.
const fleetDefinition = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: fleets.explain.example.com}
spec:
  group: explain.example.com
  scope: Namespaced
  names: {kind: Fleet, plural: fleets, singular: fleet, shortNames: [flt]}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`

// TestExplainObjects explains objects of the cluster by the arguments of kubectl get: kinds,
// resources and short names of all that the cluster serves, with their owners.
func TestExplainObjects(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	namespace := w.Namespace(t)
	run := w.plugin(t, w.Kubeconfig())
	w.MustKubectl(t, fleetDefinition, "apply", "-f", "-")
	w.MustKubectl(t, "", "wait", "--for=condition=Established", "crd/fleets.explain.example.com")
	_, spec, _ := strings.Cut(deniedDeployment, "spec:")
	fleet := "apiVersion: explain.example.com/v1\nkind: Fleet\nmetadata: {name: ships}\nspec:" + spec
	w.MustKubectl(t, targetYAML("here", "", namespace), "apply", "-n", namespace, "-f", "-")
	manifest := strings.Replace(deniedDeployment, "replicas: 0", "replicas: 1", 1)
	w.whenServed(t, manifest+"\n---\n"+fleet, "apply", "-n", namespace, "-f", "-")
	first := func(resource string) (name string) {
		t.Helper()
		eventually.OK(t, func() error {
			out := strings.TrimSpace(w.MustKubectl(t, "", "get", resource, "-n", namespace, "-o", "name"))
			var found bool
			if _, name, found = strings.Cut(out, "/"); !found {
				return fmt.Errorf("no %s yet: %s", resource, out)
			}
			return nil
		})
		return name
	}
	replicaSet, pod := first("rs"), first("po")
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"deploy/denied", 0, "Deployment denied in namespace " + namespace + "\n  verdict     allowed: HasTarget"},
		{"deployment denied", 0, "Deployment denied"},
		{"deployments.v1.apps denied", 0, "Deployment denied"},
		{"Deployment.apps/denied", 0, "Deployment denied"},
		{"rs " + replicaSet, 0, "owners      Deployment denied"},
		{"po " + pod, 0, "owners      ReplicaSet " + replicaSet + " < Deployment denied\n"},
		{"flt ships", 0, "Fleet ships in namespace " + namespace + "\n  verdict     allowed: HasTarget"},
		{"deploy/denied flt/ships", 0, "\n\nFleet ships"},
		{"deploy nothing", 3, `Deployment "nothing" not found in namespace "` + namespace + `"`},
		{"wagon/x", 2, `serves no resource "wagon": kubectl api-resources`},
		{"deploy", 2, `"deploy" is no object: give TYPE/NAME`},
		{"deploy/", 2, `"deploy/" is no object`},
		{"sa default", 2, "sa/default is not a workload: admission does not apply to the kind ServiceAccount"},
	} {
		out, code := run("", append([]string{"explain", "-n", namespace}, strings.Fields(c.args)...)...)
		if code != c.code || !strings.Contains(out, c.want) {
			t.Errorf("explain %s: got exit code %d: %s\nwant %d and %q", c.args, code, out, c.code, c.want)
		}
	}
	for typed, want := range map[string]string{"deploy/": "deploy/denied\n", "fl": "flinkdeployment/\n"} {
		if out, _ := run("", "__complete", "explain", "-n", namespace, typed); !strings.Contains(out, want) {
			t.Errorf("completion of %q: got %s, want %q", typed, out, want)
		}
	}
	if out, _ := run("", "__complete", "explain", "-n", namespace, "flt", ""); !strings.Contains(out, "ships\n") {
		t.Errorf("completion of names: got %s", out)
	}
}
