package webhook_test

import (
	"testing"

	"drey.dev/drey/webhook"
)

// TestRecognizeFromManifest tells a manifest from what Flink's client made: the remedy of a
// conflict is a command for the one, and options for the other.
func TestRecognizeFromManifest(t *testing.T) {
	const shape = `"spec":{"template":{"metadata":{"labels":{"type":"flink-native-kubernetes"}}}}}`
	for rule, c := range map[string]struct {
		metadata string
		want     bool
	}{
		"it comes from no cluster":     {`{"name":"a"}`, true},
		"kubectl apply made it":        {`{"name":"a","uid":"u","annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{}"}}`, true},
		"kubectl create made it":       {`{"name":"a","uid":"u","managedFields":[{"manager":"kubectl-create"}]}`, true},
		"a tool of GitOps made it":     {`{"name":"a","uid":"u","managedFields":[{"manager":"argocd-controller"}]}`, true},
		"Flink's client made it":       {`{"name":"a","uid":"u","managedFields":[{"manager":"flink"}]}`, false},
		"nothing says which it may be": {`{"name":"a","uid":"u"}`, false},
	} {
		t.Run(rule, func(t *testing.T) {
			w, ok, err := webhook.Recognize("apps/v1", "Deployment", "flink", []byte(`{"metadata":`+c.metadata+`,`+shape))
			if err != nil || !ok || w.Object.FromManifest != c.want {
				t.Errorf("got %v, %t, %v; want %t", w.Object, ok, err, c.want)
			}
		})
	}
}
