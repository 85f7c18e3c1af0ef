package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"drey.dev/drey/test/framework/eventually"
)

// outageCase is a test of an outage of drey. Its functions run one after the other, each beside that
// of the other cases. Those that are nil are skipped.
type outageCase struct {
	before func(t *testing.T) // before drey is installed
	up     func(t *testing.T) // before the outage
	down   func(t *testing.T)
	again  func(t *testing.T) // after drey has been started again
}

// outageCases have namespaces of their own. They share the registry and the metrics.
var outageCases = map[string]func(t *testing.T, w *world) outageCase{
	"registry and running job":    runningJobOutage,
	"namespaces written by tools": namespaceToolsOutage,
	"forged labels":               forgedLabelsOutage,
	"foreign ids":                 foreignIDsOutage,
	"pods without labels":         repairPodsOutage,
	"policy for pods":             gatePolicyOutage,
}

// TestOutage kills drey, and starts it again: see outageCases.
func TestOutage(t *testing.T) {
	t.Parallel()
	c := ownCluster(t)
	api, err := adminClient(c)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{Cluster: c, api: api, data: t.TempDir()}
	cases := map[string]outageCase{}
	for name, newCase := range outageCases {
		cases[name] = newCase(t, w)
	}
	var mu sync.Mutex
	failed := map[string]bool{} // cases
	phase := func(name string, of func(outageCase) func(*testing.T)) {
		t.Run(name, func(t *testing.T) {
			for name, c := range cases {
				if run := of(c); run != nil && !failed[name] {
					t.Run(name, func(t *testing.T) {
						t.Parallel()
						t.Cleanup(func() {
							mu.Lock()
							defer mu.Unlock()
							failed[name] = failed[name] || t.Failed()
						})
						run(t)
					})
				}
			}
		})
	}
	phase("before the installation", func(c outageCase) func(*testing.T) { return c.before })
	if err := w.startDrey(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.stopAtEnd(t)
	phase("drey is up", func(c outageCase) func(*testing.T) { return c.up })
	w.killDrey(t)
	phase("drey is down", func(c outageCase) func(*testing.T) { return c.down })
	w.restartDrey(t)
	phase("drey is up again", func(c outageCase) func(*testing.T) { return c.again })
}

// runningJobOutage: during an outage new Flink workloads are denied, a running job loses and gets
// pods, and all other workloads are unaffected. A restarted drey has the registry as before.
func runningJobOutage(t *testing.T, w *world) (c outageCase) {
	registered, other := w.Namespace(t), w.Namespace(t)
	c.up = func(t *testing.T) {
		w.register(t, "default", registered)
		w.runJobManager(t, registered)
	}
	c.down = func(t *testing.T) {
		w.MustKubectl(t, "", "create", "-n", other, "deployment", "web", "--image=nginx")
		eventually.OK(t, func() error { return w.checkPodCount(t, other, 1) })
		if out, err := w.RunKubectl(t, jobManager, "apply", "-n", other, "-f", "-"); err == nil {
			t.Errorf("a new job is allowed without a target: %s", out)
		}
		w.MustKubectl(t, jobManager, "apply", "-n", "kube-system", "-f", "-") // an excluded namespace
		lost := w.list(t, "Pod", registered)[0].GetName()
		w.MustKubectl(t, "", "delete", "-n", registered, "pod", lost)
		eventually.OK(t, func() error {
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
	}
	c.again = func(t *testing.T) {
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
	return c
}
