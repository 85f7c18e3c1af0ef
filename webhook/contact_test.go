package webhook

import (
	"log/slog"
	"strings"
	"testing"

	"drey.dev/drey/registry"
	"drey.dev/drey/webhook/flink"
	"drey.dev/drey/webhook/verdict"
)

// TestDenialContact: a denial for lack of a target names the contact of the namespace, else
// that of the installation.
func TestDenialContact(t *testing.T) {
	w := New(Options{
		Registry: registry.NewIndex("drey-system"), Log: slog.New(slog.DiscardHandler), Address: verdict.RegisterHint{URL: "http://127.0.0.1:8080", Contact: "#platform"},
		Contact: func(namespace string) string { return map[string]string{"team-a": "#team-a"}[namespace] },
	})
	for namespace, want := range map[string]string{"team-a": "if you may not, ask #team-a; or deploy", "team-b": "if you may not, ask #platform; or deploy"} {
		pod := &flink.Object{Kind: "Pod", Namespace: namespace, Name: "jobmanager", Pod: flink.Pod{Containers: []flink.Container{{Name: "jobmanager", Image: "flink:2.2", Args: []string{"jobmanager"}}}}}
		v := verdict.Decide(flink.Recognize(pod), w.state)
		if got := v.Message(w.hint(v)); !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want %q", namespace, got, want)
		}
		if got := v.Message(verdict.RegisterHint{}); v.Reason != verdict.NoDeploymentTarget || strings.Contains(got, "ask ") {
			t.Errorf("without a contact: got %q", got)
		}
	}
}
