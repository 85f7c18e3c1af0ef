package verdicts

import (
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
