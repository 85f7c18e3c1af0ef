package e2e

import (
	"fmt"
	"strings"
	"testing"

	"drey.dev/drey/test/framework/eventually"
)

// jobManagerOfKind returns the manifest of a workload with the pod template of a JobManager, and
// without replicas.
func jobManagerOfKind(apiVersion, kind string) string {
	selector := "{matchLabels: {app: parcels}}"
	if kind == "ReplicationController" {
		selector = "{app: parcels}"
	}
	replicas := "replicas: 0"
	if kind == "DaemonSet" { // no node runs
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

// TestWorkloadKindsGated applies a workload of each kind without pods of its own admission: it
// is denied without a target and with two, until the command of the denial has been run.
func TestWorkloadKindsGated(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	for kind, apiVersion := range map[string]string{"DaemonSet": "apps/v1", "ReplicaSet": "apps/v1", "ReplicationController": "v1", "Rollout": "argoproj.io/v1alpha1"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			namespace := w.Namespace(t)
			manifest := jobManagerOfKind(apiVersion, kind)
			out, err := w.RunKubectl(t, manifest, "apply", "-n", namespace, "-f", "-")
			if err == nil || !strings.Contains(out, "Error from server (Forbidden)") || !strings.Contains(out, fmt.Sprintf("namespace %q has no DeploymentTarget", namespace)) {
				t.Fatalf("without a target: got %v: %s, want a denial", err, out)
			}
			runCurl(t, out)
			w.register(t, "team-b", namespace)
			file := writeManifest(t, manifest)
			if out, err = w.RunKubectl(t, "", "apply", "-n", namespace, "-f", file); err == nil || !strings.Contains(out, "DeploymentTargets of several platform namespaces") {
				t.Fatalf("with two targets: got %v: %s, want a denial", err, out)
			}
			w.runShell(t, strings.Replace(kubectlCommand(t, out), "FILE", file, 1))
			created := w.list(t, kind, namespace)
			if len(created) != 1 || len(created[0].GetLabels()) != 0 && kind != "ReplicationController" { // defaults to the labels of its template
				t.Errorf("%ss: got %v, want one without labels", kind, created)
			}
		})
	}
}

// TestDeploymentRolloutNoReview rolls out a Deployment: the API server sends no review, since
// ReplicaSets of Deployments are excluded.
func TestDeploymentRolloutNoReview(t *testing.T) {
	w := sharedWorld(t) // not parallel: counts reviews
	namespace := w.Namespace(t)
	w.register(t, "team-a", namespace)
	awaitReplicaSets := func(want int) {
		t.Helper()
		eventually.OK(t, func() error {
			if got := len(w.list(t, "ReplicaSet", namespace)); got != want {
				return fmt.Errorf("ReplicaSets: got %d, want %d", got, want)
			}
			return nil
		})
	}
	w.MustKubectl(t, jobManagerOfKind("apps/v1", "Deployment"), "apply", "-n", namespace, "-f", "-")
	awaitReplicaSets(1)
	before := w.reviewCount(t)
	w.MustKubectl(t, "", "set", "env", "-n", namespace, "deployment/parcels", "A=b")
	awaitReplicaSets(2)
	if got := w.reviewCount(t) - before; got != 0 {
		t.Errorf("reviews of a rollout: got %d, want 0", got)
	}
}
