package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/eventually"
)

const bareFlinkPod = `
apiVersion: v1
kind: Pod
metadata: {name: %s, labels: {app: bare, component: jobmanager, type: flink-native-kubernetes}}
spec: {containers: [{name: flink-main-container, image: "flink:2.2"}]}
`

// TestGatePolicyOutage: nobody's webhook is needed to keep a pod out.
func TestGatePolicyOutage(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t)
	w, err := newWorld(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	registered, other, lenient := w.Namespace(t), w.Namespace(t), w.Namespace(t)
	w.register(t, "team-a", registered)
	w.MustKubectl(t, "", "label", "namespace", lenient, "drey.dev/mode=warn")
	if err := w.drey.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually.OK(t, 10*time.Second, func() error { // the API server learns of a policy within a second or so
		out, err := w.RunKubectl(t, fmt.Sprintf(bareFlinkPod, "refused"), "create", "--dry-run=server", "-n", other, "-f", "-")
		if err == nil {
			return fmt.Errorf("let in: %s", out)
		}
		if !strings.Contains(out, fmt.Sprintf("namespace %q has no DeploymentTarget", other)) || !strings.Contains(out, `{"kubernetes":{"namespace":"`+other+`"}}`) {
			t.Fatalf("a refusal that does not help: %s", out)
		}
		return nil
	})
	w.MustKubectl(t, fmt.Sprintf(bareFlinkPod, "marked"), "create", "-n", registered, "-f", "-")
	w.MustKubectl(t, fmt.Sprintf(bareFlinkPod, "lenient"), "create", "-n", lenient, "-f", "-")
	w.MustKubectl(t, "", "run", "web", "-n", other, "--image=nginx")
}

// TestRegisteredLabelProtected: who could set it would open a namespace.
func TestRegisteredLabelProtected(t *testing.T) {
	w := inWorld(t)
	t.Parallel()
	namespace, other := w.Namespace(t), w.Namespace(t)
	w.register(t, "team-a", namespace)
	mark := func(name string) string {
		return w.MustKubectl(t, "", "get", "namespace", name, "-o", `jsonpath={.metadata.labels.drey\.dev/registered}`)
	}
	if got := mark(namespace); got != "true" {
		t.Errorf("a namespace that has just got a target is marked %q", got)
	}
	admin := []string{"--as=chief", "--as-group=system:masters"}
	for what, args := range map[string][]string{
		"to set it":     {"label", "namespace", other, "drey.dev/registered=true"},
		"to change it":  {"label", "namespace", namespace, "drey.dev/registered=draining", "--overwrite"},
		"to take it":    {"label", "namespace", namespace, "drey.dev/registered-"},
		"to bring it":   {"create", "-f", "-"},
		"to replace it": {"replace", "-f", "-"},
	} {
		manifest := "apiVersion: v1\nkind: Namespace\nmetadata: {name: " + other + "-x, labels: {drey.dev/registered: \"true\"}}\n"
		if args[0] == "replace" {
			manifest = strings.Replace(manifest, other+"-x", other, 1)
		}
		if out, err := w.RunKubectl(t, manifest, append(admin, args...)...); err == nil || !strings.Contains(out, "only drey sets the label") {
			t.Errorf("a cluster admin may try %s: %v %s", what, err, out)
		}
	}
	w.MustKubectl(t, "", append(admin, "label", "namespace", namespace, "team=nuts")...) // all else is theirs

	// What drey's own user did by mistake is put right.
	const self = "--as=system:serviceaccount:drey-system:drey"
	w.MustKubectl(t, "", self, "label", "namespace", namespace, "drey.dev/registered-")
	w.MustKubectl(t, "", self, "label", "namespace", other, "drey.dev/registered=true")
	eventually.OK(t, 20*time.Second, func() error {
		if a, b := mark(namespace), mark(other); a != "true" || b != "" {
			return fmt.Errorf("marks %q and %q", a, b)
		}
		return nil
	})

	// A namespace that comes after its target is marked when it comes.
	late := other + "-late"
	w.register(t, "team-a", late)
	w.MustKubectl(t, "", "create", "namespace", late)
	eventually.OK(t, 20*time.Second, func() error {
		if got := mark(late); got != "true" {
			return fmt.Errorf("marked %q", got)
		}
		return nil
	})
	w.MustKubectl(t, "", "delete", "namespace", late, "--wait=false")
}

// TestRegisteredLabelDraining: its target is gone, and what was admitted there keeps
// its pods until it is gone too.
func TestRegisteredLabelDraining(t *testing.T) {
	w := inWorld(t)
	t.Parallel()
	namespace := w.Namespace(t)
	w.register(t, "default", namespace)
	w.runJobManager(t, namespace)
	w.loseTarget(t, namespace)
	is := func(want string) func() error {
		return func() error {
			if got := w.MustKubectl(t, "", "get", "namespace", namespace, "-o", `jsonpath={.metadata.labels.drey\.dev/registered}`); got != want {
				return fmt.Errorf("marked %q, want %q", got, want)
			}
			return nil
		}
	}
	eventually.OK(t, 20*time.Second, is("draining"))
	w.MustKubectl(t, "", "delete", "-n", namespace, "deployment/my-job")
	eventually.OK(t, 60*time.Second, is(""))
}
