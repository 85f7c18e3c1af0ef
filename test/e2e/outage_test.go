package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"drey.dev/drey/test/framework/eventually"
)

// TestOutage kills drey: new Flink workloads are denied, a running job loses and gets pods,
// and all other workloads are unaffected. A restarted drey has the registry as before.
func TestOutage(t *testing.T) {
	t.Parallel()
	w := ownWorld(t)
	registered := w.Namespace(t)
	w.register(t, "default", registered)
	w.runJobManager(t, registered)

	w.killDrey(t)
	other := w.Namespace(t)
	w.MustKubectl(t, "", "create", "-n", other, "deployment", "web", "--image=nginx")
	eventually.OK(t, 20*time.Second, func() error { return w.checkPodCount(t, other, 1) })
	if out, err := w.RunKubectl(t, jobManager, "apply", "-n", other, "-f", "-"); err == nil {
		t.Errorf("a new job is allowed without a target: %s", out)
	}
	w.MustKubectl(t, jobManager, "apply", "-n", "kube-system", "-f", "-") // an excluded namespace
	lost := w.list(t, "Pod", registered)[0].GetName()
	w.MustKubectl(t, "", "delete", "-n", registered, "pod", lost)
	eventually.OK(t, 20*time.Second, func() error {
		if pods := w.list(t, "Pod", registered); len(pods) != 1 || pods[0].GetName() == lost {
			return fmt.Errorf("pods of the JobManager: got %d, want one other than %s", len(pods), lost)
		}
		return nil
	})
	if _, err := w.create(t.Context(), registered, taskManager(w.get(t, "Deployment", registered, "my-job").GetUID())); err != nil {
		t.Errorf("create a TaskManager of a running job: %v", err)
	}
	w.MustKubectl(t, "", "annotate", "-n", registered, "deployment/my-job", "example.com/seen=yes")
	w.MustKubectl(t, "", "delete", "-n", registered, "deployment/my-job")
	w.MustKubectl(t, "", "delete", "-n", "kube-system", "deployment/my-job")

	w.restartDrey(t)
	text, err := w.drey.Call(t.Context(), http.MethodGet, "/api/v1/namespaces/default/deployment-targets", nil)
	if err != nil {
		t.Fatal(err)
	}
	var list struct{ Items []json.RawMessage }
	if err := json.Unmarshal(text, &list); err != nil || len(list.Items) != 1 {
		t.Errorf("registry after a crash: got %s (%v), want one target", text, err)
	}
	w.MustKubectl(t, jobManager, "apply", "-n", registered, "-f", "-")
	if out, err := w.RunKubectl(t, jobManager, "apply", "-n", other, "-f", "-"); err == nil || !strings.Contains(out, "has no DeploymentTarget") {
		t.Errorf("after the restart: got %v: %s, want a denial", err, out)
	}
}
