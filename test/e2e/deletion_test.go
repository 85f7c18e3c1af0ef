package e2e

import (
	"fmt"
	"strings"
	"testing"

	"drey.dev/drey/test/framework/drey"
	"drey.dev/drey/test/framework/eventually"
)

// TestDeletionAllowed deletes workloads with finalizers, in registered and unregistered
// namespaces, while drey is up and while it is down: no webhook or policy holds up a
// deletion or the removal of a finalizer.
func TestDeletionAllowed(t *testing.T) {
	t.Parallel()
	c := ownCluster(t)
	api, err := adminClient(c)
	if err != nil {
		t.Fatal(err)
	}
	program, err := buildDrey()
	if err != nil {
		t.Fatal(err)
	}
	// The mode admits jobs without a target.
	d, err := drey.Start(t.Context(), drey.Options{Program: program, Cluster: c, DataDir: t.TempDir(), Args: []string{"--mode", "warn"}})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{Cluster: c, drey: d, api: api}
	w.stopAtEnd(t)
	policies := []string{"background", "foreground", "orphan"}
	var namespaces [2][]string // while drey is up, and while it is down
	for i := range namespaces {
		for range policies {
			namespace := w.Namespace(t)
			w.register(t, "default", namespace)
			w.MustKubectl(t, heldDeployment+"---\n"+heldCustom, "apply", "-n", namespace, "-f", "-")
			eventually.OK(t, func() error { return w.checkPodCount(t, namespace, 1) })
			w.MustKubectl(t, "", "patch", "pod", w.list(t, "Pod", namespace)[0].GetName(), "-n", namespace, "--type=merge", "-p", `{"metadata":{"finalizers":["example.com/hold"]}}`)
			namespaces[i] = append(namespaces[i], namespace)
		}
	}
	unregistered := func() string {
		namespace := w.Namespace(t)
		if out := w.MustKubectl(t, heldDeployment+"---\n"+heldCustom, "apply", "-n", namespace, "-f", "-"); strings.Count(out, "Warning: drey would deny this") != 2 {
			t.Errorf("--mode warn: got %s, want two warnings", out)
		}
		eventually.OK(t, func() error { return w.checkPodCount(t, namespace, 1) })
		return namespace
	}
	for i := range namespaces {
		namespaces[i] = append(namespaces[i], unregistered())
	}
	policies = append(policies, "background")
	strict := w.Namespace(t) // its mode overrides that of the installation
	w.MustKubectl(t, "", "label", "namespace", strict, "drey.dev/mode=enforce")
	eventually.OK(t, func() error {
		if out, err := w.RunKubectl(t, jobManager, "create", "-n", strict, "-f", "-"); err == nil {
			w.MustKubectl(t, jobManager, "delete", "-n", strict, "-f", "-")
			return fmt.Errorf("allowed in mode enforce: %s", out)
		}
		return nil
	})
	for i, state := range []string{"drey is up", "drey is down"} {
		if i == 1 {
			w.killDrey(t)
		}
		t.Run(state, func(t *testing.T) {
			for j, namespace := range namespaces[i] {
				w.deleteAll(t, namespace, policies[j])
			}
		})
	}
}

// heldCustom is a FlinkDeployment with a finalizer.
const heldCustom = `
apiVersion: flink.apache.org/v1beta1
kind: FlinkDeployment
metadata: {name: orders, finalizers: [example.com/hold]}
spec: {job: {jarURI: "local:///opt/flink/orders.jar"}}
`

// heldDeployment is jobManager with a finalizer.
var heldDeployment = strings.Replace(jobManager, "  name: my-job\n", "  name: my-job\n  finalizers: [example.com/hold]\n", 1)

// deleteAll deletes heldDeployment and heldCustom with a propagation policy, and removes
// their finalizers by patches that also break their labels.
func (w *world) deleteAll(t *testing.T, namespace, policy string) {
	t.Helper()
	const release = `{"metadata":{"finalizers":null,"labels":{"system":null,"vvpNamespace":"x","deploymentId":null}}}`
	w.MustKubectl(t, "", "delete", "deployment/my-job", "flinkdeployment/orders", "-n", namespace, "--wait=false", "--cascade="+policy)
	w.MustKubectl(t, "", "delete", "pod", "--all", "-n", namespace, "--wait=false", "--now")
	for _, kind := range []string{"Pod", "Deployment", "FlinkDeployment", "ReplicaSet"} {
		for _, o := range w.list(t, kind, namespace) {
			if o.GetDeletionTimestamp() == nil || len(o.GetFinalizers()) == 0 {
				continue
			}
			if out, err := w.RunKubectl(t, "", "patch", strings.ToLower(kind), o.GetName(), "-n", namespace, "--type=merge", "-p", release); err != nil && !strings.Contains(out, "not found") {
				t.Errorf("%s deletion: remove the finalizer of %s %s: %v: %s", policy, kind, o.GetName(), err, out)
			}
		}
	}
	w.MustKubectl(t, "", "delete", "deployment,replicaset,pod,flinkdeployment", "--all", "-n", namespace, "--now", "--wait=false")
	eventually.OK(t, func() error {
		for _, kind := range []string{"Pod", "ReplicaSet", "Deployment", "FlinkDeployment"} {
			if left := w.list(t, kind, namespace); len(left) > 0 {
				return fmt.Errorf("%s deletion in %s: %d %ss left, want none: %v", policy, namespace, len(left), kind, left[0].Object["metadata"])
			}
		}
		return nil
	})
}
