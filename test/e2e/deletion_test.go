package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/dynamic"

	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/drey"
	"drey.dev/drey/test/framework/eventually"
	"drey.dev/drey/test/framework/fixtures"
)

// TestDeletionAllowed, whether or not its namespace has a target, with drey or
// without: nothing that drey asks of a change holds up what goes.
func TestDeletionAllowed(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t)
	if err := fixtures.InstallCRDs(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	api, err := dynamic.NewForConfig(c.Config())
	if err != nil {
		t.Fatal(err)
	}
	d, err := drey.Start(t.Context(), drey.Options{Cluster: c, DataDir: c.Dir(), Args: []string{"--mode", "warn"}}) // so that jobs come that have no target
	if err != nil {
		t.Fatal(err)
	}
	w := &world{c, d, api}
	t.Cleanup(func() { _ = w.drey.Kill() }) // it may have been killed
	ways := []string{"background", "foreground", "orphan"}
	var spaces [2][]string // with drey, and without
	for i := range spaces {
		for range ways {
			namespace := w.Namespace(t)
			w.register(t, "default", namespace)
			w.MustKubectl(t, heldDeployment+"---\n"+heldCustom, "apply", "-n", namespace, "-f", "-")
			eventually.OK(t, 20*time.Second, func() error { return onlyPod(w, t, namespace) })
			w.MustKubectl(t, "", "patch", "pod", w.list(t, "Pod", namespace)[0].GetName(), "-n", namespace, "--type=merge", "-p", `{"metadata":{"finalizers":["example.com/hold"]}}`)
			spaces[i] = append(spaces[i], namespace)
		}
	}
	unregistered := func() string {
		namespace := w.Namespace(t)
		if out := w.MustKubectl(t, heldDeployment+"---\n"+heldCustom, "apply", "-n", namespace, "-f", "-"); strings.Count(out, "Warning: drey would refuse this") != 2 {
			t.Errorf("the mode of the installation warns of nothing: %s", out)
		}
		eventually.OK(t, 20*time.Second, func() error { return onlyPod(w, t, namespace) })
		return namespace
	}
	for i := range spaces {
		spaces[i] = append(spaces[i], unregistered())
	}
	ways = append(ways, "background")
	strict := w.Namespace(t) // has a mode of its own
	w.MustKubectl(t, "", "label", "namespace", strict, "drey.dev/mode=enforce")
	eventually.OK(t, 10*time.Second, func() error {
		if out, err := w.RunKubectl(t, jobManager, "create", "--dry-run=server", "-n", strict, "-f", "-"); err == nil {
			return fmt.Errorf("let in: %s", out)
		}
		return nil
	})
	for i, state := range []string{"with drey", "without drey"} {
		if i == 1 {
			if err := w.drey.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		t.Run(state, func(t *testing.T) {
			for j, namespace := range spaces[i] {
				w.deleteAll(t, namespace, ways[j])
			}
		})
	}
}

const heldCustom = `
apiVersion: flink.apache.org/v1beta1
kind: FlinkDeployment
metadata: {name: orders, finalizers: [example.com/hold]}
spec: {job: {jarURI: "local:///opt/flink/orders.jar"}}
`

var heldDeployment = strings.Replace(jobManager, "  name: my-job\n", "  name: my-job\n  finalizers: [example.com/hold]\n", 1)

// deleteAll deletes what has finalizers, and then takes these away, by somebody who
// cares for no label.
func (w *world) deleteAll(t *testing.T, namespace, way string) {
	t.Helper()
	const release = `{"metadata":{"finalizers":null,"labels":{"system":null,"vvpNamespace":"x","deploymentId":null}}}`
	w.MustKubectl(t, "", "delete", "deployment/my-job", "flinkdeployment/orders", "-n", namespace, "--wait=false", "--cascade="+way)
	w.MustKubectl(t, "", "delete", "pod", "--all", "-n", namespace, "--wait=false", "--now")
	for _, kind := range []string{"Pod", "Deployment", "FlinkDeployment", "ReplicaSet"} {
		for _, o := range w.list(t, kind, namespace) {
			if o.GetDeletionTimestamp() == nil || len(o.GetFinalizers()) == 0 {
				continue
			}
			if out, err := w.RunKubectl(t, "", "patch", strings.ToLower(kind), o.GetName(), "-n", namespace, "--type=merge", "-p", release); err != nil && !strings.Contains(out, "not found") {
				t.Errorf("%s: %s", way, out)
			}
		}
	}
	w.MustKubectl(t, "", "delete", "deployment,replicaset,pod,flinkdeployment", "--all", "-n", namespace, "--now", "--wait=false")
	eventually.OK(t, 60*time.Second, func() error {
		for _, kind := range []string{"Pod", "ReplicaSet", "Deployment", "FlinkDeployment"} {
			if left := w.list(t, kind, namespace); len(left) > 0 {
				return fmt.Errorf("%s deletion in %s: of %s, %d are left: %v", way, namespace, kind, len(left), left[0].Object["metadata"])
			}
		}
		return nil
	})
}
