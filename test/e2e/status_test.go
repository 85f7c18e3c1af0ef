package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"drey.dev/drey/registry"
	registryworkloads "drey.dev/drey/registry/workloads"
	"drey.dev/drey/test/framework/eventually"
)

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
			if got := w.events(t, "team-a", c.name); !strings.Contains(got, " is RUNNING, was TRANSITIONING") || !strings.Contains(got, " is "+c.stop+", was TRANSITIONING") || !strings.HasSuffix(got, " created") {
				t.Errorf("got the events %s", got)
			}
		})
	}
}

// events returns the messages of the events about an object, the latest first.
func (w *world) events(t testing.TB, platformNamespace, name string) string {
	t.Helper()
	text, err := w.drey.Call(t.Context(), http.MethodGet, "/api/v1/namespaces/"+platformNamespace+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		Items []struct {
			Metadata struct{ Name string }
			Spec     struct{ Message string }
		}
	}
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	var messages []string
	for _, e := range list.Items {
		if e.Metadata.Name == name {
			messages = append(messages, e.Spec.Message)
		}
	}
	return strings.Join(messages, "\n")
}

// TestUsage adds up the requests of the labeled pods of a platform namespace.
func TestUsage(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	namespace := w.Namespace(t)
	if _, err := w.drey.Call(t.Context(), http.MethodPost, "/namespaces/v1/namespaces", fmt.Appendf(nil, `{"name":%q}`, namespace)); err != nil {
		t.Fatal(err)
	}
	w.register(t, namespace, namespace)
	for i, requests := range []map[string]any{{"cpu": "500m", "memory": "1Gi"}, {"cpu": "2", "memory": "2Gi"}} {
		if _, err := w.create(t.Context(), namespace, map[string]any{
			"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": fmt.Sprint("jobmanager-", i)},
			"spec": map[string]any{"containers": []any{map[string]any{
				"name": "jobmanager", "image": "flink:1.20", "args": []any{"jobmanager"}, "resources": map[string]any{"requests": requests},
			}}},
		}); err != nil {
			t.Fatal(err)
		}
	}
	running, err := registryworkloads.New(w.Config())
	if err != nil {
		t.Fatal(err)
	}
	used, err := running.Usage(t.Context())
	if want := (registry.Usage{MilliCPU: 2500, Memory: 3 << 30}); err != nil || used[namespace] != want {
		t.Errorf("got %+v, %v, want %+v", used[namespace], err, want)
	}
	report, err := w.drey.Call(t.Context(), http.MethodGet, "/api/v1/status/resourceusage", nil)
	if err != nil || !strings.Contains(string(report), ","+namespace+",") {
		t.Errorf("got %s, %v", report, err)
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

// awaitState waits for a state of the object at a path.
func (w *world) awaitState(t testing.TB, path, state string) (o observed) {
	t.Helper()
	eventually.OK(t, func() error {
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
