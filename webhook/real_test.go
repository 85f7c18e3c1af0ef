package webhook_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"text/tabwriter"

	"drey.dev/drey/test/framework/fixtures"
	"drey.dev/drey/webhook"
	"drey.dev/drey/webhook/flink"
)

// TestRealFlink recognizes what Flink and its operator created, and compares with
// testdata/real.txt. All processes of a cluster show the same mode, each by its
// own object: the command line of a TaskManager is held against its JobManager's
// Deployment. Those of the operator's standalone mode show none.
func TestRealFlink(t *testing.T) {
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "OBJECT\tFLAVOR\tMODE\tROLE\tNAME")
	clusters := map[string]flink.Mode{}
	pods := 0
	for _, r := range fixtures.AllReal(t) {
		text, err := json.Marshal(r.Object)
		if err != nil {
			t.Fatal(err)
		}
		kind, apiVersion := r.Object["kind"].(string), r.Object["apiVersion"].(string)
		f, ok, err := webhook.Recognize(apiVersion, kind, "flink", text)
		if err != nil || !ok || !f.Recognized() {
			t.Errorf("%s is not recognized: %v (by %v)", r.Name, err, f.Signals.Names())
			continue
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.Name, f.Flavor, orDash(string(f.Mode)), orDash(string(f.Role)), orDash(f.Identity.Name))
		if kind != "Pod" && kind != "Deployment" {
			continue
		}
		pods++
		if f.Flavor == flink.Standalone && f.Role == flink.TaskManager {
			continue
		}
		if f.Role == flink.UnknownRole || f.Mode == flink.UnknownMode {
			t.Errorf("%s shows the role %q and the mode %q", r.Name, f.Role, f.Mode)
		}
		if before, ok := clusters[r.Cluster]; ok && before != f.Mode {
			t.Errorf("%s shows the mode %q, and another object of its cluster %q", r.Name, f.Mode, before)
		}
		clusters[r.Cluster] = f.Mode
	}
	if pods == 0 {
		t.Error("there is no pod of a real Flink")
	}
	_ = w.Flush()
	path := "testdata/real.txt"
	if *update {
		if err := os.WriteFile(path, []byte(table.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if table.String() != string(want) {
		t.Errorf("got:\n%s\nwant:\n%s", table.String(), want)
	}
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
