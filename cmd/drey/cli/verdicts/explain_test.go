package verdicts

import (
	"strings"
	"testing"

	"drey.dev/drey/cmd/drey/cli/client"
	"drey.dev/drey/webhook/verdict"
)

// A denial's command is for where the registry is: kubectl's, of that in the cluster,
// however it was asked for.
func TestRemedyMatchesRegistry(t *testing.T) {
	var asked, found source
	asked.client.Server = client.InCluster
	found.client.Server, found.inCluster = "http://127.0.0.1:8080", true
	var rest source
	rest.client.Server = "https://drey.example/"
	want := verdict.RegisterHint{InCluster: true}.Command("sandbox", "default")
	for name, q := range map[string]*source{"asked for": &asked, "found": &found} {
		if got := q.registerHint().Command("sandbox", "default"); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got, want := rest.registerHint().Command("sandbox", "default"), "drey targets create sandbox --kubernetes-namespace sandbox --server https://drey.example"; got != want {
		t.Errorf("over REST: %s, want %s", got, want)
	}
}

// TestExplainMissingSignals: explain lists what a workload that is not recognized lacks, and a
// workload with one of the signals is recognized.
func TestExplainMissingSignals(t *testing.T) {
	const pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: b, labels: {LABELS}}\nspec: {containers: [{name: main, image: 'flink:1.20'}]}\n---\n" +
		"apiVersion: drey.dev/v1\nkind: DeploymentTarget\nmetadata: {name: b, namespace: default}\nspec: {kubernetes: {namespace: b}}\n"
	const missing = "not recognized as Flink: one of these signals suffices: "
	explain := func(labels string) string {
		t.Helper()
		out, code := runDrey(t, strings.Replace(pod, "LABELS", labels, 1), []string{"explain", "-f", "-"})
		if code != 0 {
			t.Fatal(out)
		}
		return strings.Join(strings.Fields(out), " ")
	}
	for _, want := range []string{"allowed: InsufficientSignal", missing, "the label component with the value jobmanager or taskmanager"} {
		if got := explain("app: a"); !strings.Contains(got, want) {
			t.Errorf("an image: got %s, want %q", got, want)
		}
	}
	if got := explain("component: jobmanager"); strings.Contains(got, missing) || !strings.Contains(got, "allowed: HasTarget") {
		t.Errorf("an image and the label component: got %s, want HasTarget", got)
	}
}
