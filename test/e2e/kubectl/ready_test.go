package kubectl

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"drey.dev/drey/test/framework/eventually"
)

// TestTargetReadyCondition shows what an admin sees who makes the target first:
// what is missing, with the command that makes it, in kubectl get and kubectl describe.
func TestTargetReadyCondition(t *testing.T) {
	w := inWorld(t)
	home := w.Namespace(t)
	at := home + "-flink"
	w.MustKubectl(t, targetYAML("early", "", at), "apply", "-n", home, "-f", "-")
	w.MustKubectl(t, "", "wait", "--for=condition=Ready=False", "dt/early", "-n", home, "--timeout=30s")
	if out := w.MustKubectl(t, "", "get", "dt", "early", "-n", home, "-o", "wide"); !strings.Contains(out, "NamespaceMissing") {
		t.Error(out)
	}
	describes(t, w, home, "Warning  NamespaceMissing", "kubectl create namespace "+at)
	w.MustKubectl(t, "", "create", "namespace", at)
	w.MustKubectl(t, "", "wait", "--for=condition=Ready", "dt/early", "-n", home, "--timeout=30s")
	describes(t, w, home, "Normal   Registered", fmt.Sprintf("Flink may run in Kubernetes namespace %q", at))

	for _, closed := range []string{"kube-system", "drey-system"} { // which drey leaves alone
		name := "at-" + closed
		w.MustKubectl(t, targetYAML(name, "", closed), "apply", "-n", home, "-f", "-")
		w.MustKubectl(t, "", "wait", "--for=condition=Ready=False", "dt/"+name, "-n", home, "--timeout=30s")
		if out := w.MustKubectl(t, "", "get", "dt", name, "-n", home, "-o", "yaml"); !strings.Contains(out, "reason: NamespaceNotServed") || !strings.Contains(out, "point") {
			t.Error(out)
		}
	}
}

func describes(t *testing.T, w *world, namespace string, words ...string) {
	t.Helper()
	eventually.OK(t, 15*time.Second, func() error {
		out := w.MustKubectl(t, "", "describe", "dt", "early", "-n", namespace)
		_, events, _ := strings.Cut(out, "\nEvents:")
		for _, word := range words {
			if !strings.Contains(events, word) {
				return fmt.Errorf("no %q in\n%s", word, out)
			}
		}
		return nil
	})
}
