package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"drey.dev/drey/test/framework/eventually"
)

// statusTimeout bounds the time from a change in the cluster to the status in REST.
const statusTimeout = 10 * time.Second

// TestStatus follows a Deployment and a SessionCluster over REST while what they run starts and
// ends, and deletes them and their target as a client does: it waits for the state first.
func TestStatus(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	for _, c := range []struct {
		path, name, spec, stop string
		running                string // a status
	}{
		{"deployments", "status-orders", `{"job": {"jarURI": "local:///opt/flink/orders.jar", "state": "running"}}`, "CANCELLED",
			`{"jobManagerDeploymentStatus":"READY","jobStatus":{"state":"RUNNING","jobId":"7a0c0e1d2b3a49588776655443322110","startTime":"1772366460000"}}`},
		{"sessionclusters", "status-session", `{}`, "STOPPED", `{"jobManagerDeploymentStatus":"READY"}`},
	} {
		t.Run(c.path, func(t *testing.T) {
			t.Parallel()
			namespace := w.Namespace(t)
			w.register(t, "team-a", namespace)
			path := "/api/v1/namespaces/team-a/" + c.path
			body := fmt.Appendf(nil, `{"metadata":{"name":%q},"spec":{"state":"RUNNING","deploymentTargetName":%q}}`, c.name, namespace)
			if _, err := w.drey.Call(t.Context(), http.MethodPost, path, body); err != nil {
				t.Fatal(err)
			}
			path += "/" + c.name
			w.awaitState(t, path, "TRANSITIONING")

			var spec map[string]any
			if err := json.Unmarshal([]byte(c.spec), &spec); err != nil {
				t.Fatal(err)
			}
			if _, err := w.create(t.Context(), namespace, map[string]any{
				"apiVersion": "flink.apache.org/v1beta1", "kind": "FlinkDeployment", "metadata": map[string]any{"name": c.name}, "spec": spec,
			}); err != nil {
				t.Fatal(err)
			}
			w.MustKubectl(t, "", "patch", "flinkdeployments", c.name, "-n", namespace, "--subresource=status", "--type=merge", "-p", `{"status":`+c.running+`}`)
			running := w.awaitState(t, path, "RUNNING").Status.Running
			if running == nil || running.Conditions == nil || running.TransitionTime.IsZero() {
				t.Errorf("status.running: got %+v", running)
			}
			if c.path == "deployments" && (running.JobID != "7a0c0e1d-2b3a-4958-8776-655443322110" || running.TransitionTime.UnixMilli() != 1772366460000) {
				t.Errorf("status.running: got %+v, want the job of the FlinkDeployment", running)
			}

			if _, err := w.drey.Call(t.Context(), http.MethodPatch, path, fmt.Appendf(nil, `{"spec":{"state":%q}}`, c.stop)); err != nil {
				t.Fatal(err)
			}
			if got := w.awaitState(t, path, "TRANSITIONING"); got.Status.Running != nil {
				t.Errorf("status.running: got %+v, want none", got.Status.Running)
			}
			w.MustKubectl(t, "", "delete", "flinkdeployments", c.name, "-n", namespace)
			w.awaitState(t, path, c.stop)
			if _, err := w.drey.Call(t.Context(), http.MethodDelete, path, nil); err != nil {
				t.Error(err)
			}
			w.deleteTarget(t, "team-a", namespace)
		})
	}
}

// observed is the status of a Deployment or SessionCluster over REST.
type observed struct {
	Status struct {
		State   string
		Running *struct {
			Conditions     []any
			JobID          string
			TransitionTime time.Time
		}
	}
}

// awaitState waits for a state of the object at a path, for statusTimeout.
func (w *world) awaitState(t testing.TB, path, state string) (o observed) {
	t.Helper()
	eventually.OK(t, statusTimeout, func() error {
		text, err := w.drey.Call(t.Context(), http.MethodGet, path, nil)
		if err != nil {
			return err
		}
		o = observed{}
		if err := json.Unmarshal(text, &o); err != nil {
			return err
		}
		if o.Status.State != state {
			return fmt.Errorf("state of %s: got %q, want %s", path, o.Status.State, state)
		}
		return nil
	})
	return o
}
