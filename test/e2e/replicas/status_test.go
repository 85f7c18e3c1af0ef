package replicas

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"drey.dev/drey/test/framework/eventually"
	"drey.dev/drey/test/framework/fixtures/crds"
)

// TestWorkloadState waits with kubectl for status.state of a Deployment of the registry while
// its FlinkDeployment runs and ends. The leader writes it, and all replicas show it over REST.
func TestWorkloadState(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	if err := crds.Install(t.Context(), w.Cluster); err != nil {
		t.Fatal(err)
	}
	w.start(t)
	w.start(t)
	w.await(t, 2)
	await := func(state string) {
		t.Helper()
		w.MustKubectl(t, "", "wait", "--for=jsonpath={.status.state}="+state, "vdep/orders", "-n", "default")
		for _, r := range w.replicas {
			eventually.OK(t, func() error {
				status, _, answer := call(t.Context(), http.MethodGet, r.REST+"/api/v1/namespaces/default/deployments/orders", "")
				if status != http.StatusOK || !strings.Contains(answer, `"status":{"state":"`+state+`"`) {
					return fmt.Errorf("got %d %s, want %s", status, answer, state)
				}
				return nil
			})
		}
	}
	namespace := w.Namespace(t)
	w.MustKubectl(t, fmt.Sprintf(`apiVersion: drey.dev/v1
kind: DeploymentTarget
metadata: {name: flink}
spec: {kubernetes: {namespace: %s}}
---
apiVersion: drey.dev/v1
kind: Deployment
metadata: {name: orders}
spec: {state: RUNNING, deploymentTargetName: flink}
`, namespace), "apply", "-n", "default", "-f", "-")
	await("TRANSITIONING")
	eventually.OK(t, func() error { // the label of the namespace follows the target
		_, err := w.RunKubectl(t, `{apiVersion: flink.apache.org/v1beta1, kind: FlinkDeployment, metadata: {name: orders}, spec: {job: {state: running}}}`, "apply", "-n", namespace, "-f", "-")
		return err
	})
	w.MustKubectl(t, "", "patch", "flinkdeployments", "orders", "-n", namespace, "--subresource=status", "--type=merge", "-p", `{"status":{"jobStatus":{"state":"RUNNING"}}}`)
	await("RUNNING")
	w.MustKubectl(t, "", "patch", "vdep", "orders", "-n", "default", "--type=merge", "-p", `{"spec":{"state":"CANCELLED"}}`)
	await("TRANSITIONING")
	w.MustKubectl(t, "", "delete", "flinkdeployments", "orders", "-n", namespace)
	await("CANCELLED")
}
