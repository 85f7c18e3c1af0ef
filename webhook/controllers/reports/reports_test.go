package reports

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"drey.dev/drey/denials"
	"drey.dev/drey/inventory"
)

// TestResults: each workload has one result, and each denial of the last day whose object was
// not admitted since.
func TestResults(t *testing.T) {
	v, h := inventory.New(), denials.NewHistory("r", nil)
	w := New(Options{Inventory: v, Denials: h, APIVersion: func(string) string { return "apps/v1" }, Log: slog.New(slog.DiscardHandler)})
	put := func(name string, change func(*inventory.Workload)) {
		o := inventory.Workload{Namespace: "flink", PlatformNamespace: "team-a", Target: "prod", Owner: inventory.Owner{Kind: "Deployment", Name: name, UID: "u"}, Since: time.Now().Add(-time.Hour)}
		change(&o)
		v.Put(o)
	}
	put("good", func(*inventory.Workload) {})
	put("misplaced", func(o *inventory.Workload) { o.Misplaced = true })
	put("unlabeled", func(o *inventory.Workload) { o.MissingLabels = []string{"system"} })
	put("conflicting", func(o *inventory.Workload) { o.ConflictingLabels = []string{"deploymentId"} })
	put("admitted", func(o *inventory.Workload) { o.Since = time.Now().Add(time.Minute) })
	put("elsewhere", func(o *inventory.Workload) { o.Namespace = "other" })
	deny := func(name, mode string) {
		h.Record(denials.Denial{User: "carol", Operation: "CREATE", Kind: "Deployment", Namespace: "flink", Name: name, Reason: "NoDeploymentTarget", Message: "no target", Remedy: "COMMAND", Mode: mode}, "")
	}
	deny("denied", "enforce")
	deny("audited", "audit")
	deny("admitted", "enforce")
	want := []string{
		"fail conflicting labels", "fail denied NoDeploymentTarget carol 1 COMMAND", "fail misplaced placement", "warn audited NoDeploymentTarget carol 1 COMMAND", "warn unlabeled labels",
		"pass admitted placement", "pass good placement",
	}
	results, err := w.results("flink")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range results {
		got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s %s %s %s %s", r.Result, r.Resources[0].Name, r.Rule, r.Properties["user"], r.Properties["count"], r.Properties["remedy"])))
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	w.now = func() time.Time { return time.Now().Add(deniedFor + time.Minute) }
	if results, err := w.results("flink"); err != nil || len(results) != 5 {
		t.Errorf("after a day: %d results, %v", len(results), err)
	}
	report := newReport(formats[0], "flink", "hash", results)
	if summary := report.Object["summary"].(map[string]any); summary[fail] != int64(3) || summary[warn] != int64(2) || summary[pass] != int64(2) {
		t.Errorf("summary: %v", summary)
	}
}
