package e2e

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/dynamic"

	"drey.dev/drey/denials"
	"drey.dev/drey/inventory"
	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/eventually"
	"drey.dev/drey/test/framework/fixtures/crds"
	"drey.dev/drey/webhook/controllers/reports"
)

// TestPolicyReports: where the cluster serves reports of wgpolicyk8s.io alone, they are created,
// updated, and deleted with the last workload.
func TestPolicyReports(t *testing.T) {
	c := cluster.Start(t)
	if err := crds.InstallReports(t.Context(), c, "wgpolicyk8s.io"); err != nil {
		t.Fatal(err)
	}
	client, err := dynamic.NewForConfig(c.Config())
	if err != nil {
		t.Fatal(err)
	}
	v, h := inventory.New(), denials.NewHistory("r", nil)
	namespace := c.Namespace(t)
	w := inventory.Workload{Namespace: namespace, PlatformNamespace: "team-a", Target: "prod", Owner: inventory.Owner{Kind: "Deployment", Name: "orders", UID: "u"}, Since: time.Now()}
	v.Put(w)
	v.SetSynced()
	go reports.New(reports.Options{Client: client, Inventory: v, Denials: h, APIVersion: func(string) string { return "apps/v1" }, Log: slog.New(slog.DiscardHandler)}).Run(t.Context())
	want := func(text string) {
		t.Helper()
		eventually.OK(t, func() error {
			out, _ := c.RunKubectl(t, "", "get", "policyreports.wgpolicyk8s.io", "drey", "-n", namespace, "-o", "jsonpath={.summary.pass} {.summary.warn} {.summary.fail} {.results[0].resources[0].name}")
			if !strings.Contains(out, text) {
				return fmt.Errorf("got %s, want %s", out, text)
			}
			return nil
		})
	}
	want("1 0 0 orders")
	w.MissingLabels = []string{"system"}
	v.Put(w)
	want("0 1 0 orders")
	v.Delete(w.Key())
	want("not found")
	h.Record(denials.Denial{User: "carol", Operation: "CREATE", Kind: "Job", Namespace: namespace, Name: "denied", Reason: "LabelConflict", Message: "message", Mode: "enforce"}, "")
	want("0 0 1 denied")
}
