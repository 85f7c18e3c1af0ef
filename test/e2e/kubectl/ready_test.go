package kubectl

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"drey.dev/drey/test/framework/eventually"
)

// TestTargetReadyCondition creates a target before its Kubernetes namespace. kubectl get
// and kubectl describe show the missing namespace and the command that creates it.
func TestTargetReadyCondition(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	home := w.Namespace(t)
	at := home + "-flink"
	w.MustKubectl(t, targetYAML("early", "", at), "apply", "-n", home, "-f", "-")
	w.MustKubectl(t, "", "wait", "--for=condition=Ready=False", "dt/early", "-n", home)
	if out := w.MustKubectl(t, "", "get", "dt", "early", "-n", home, "-o", "wide"); !strings.Contains(out, "NamespaceMissing") {
		t.Errorf("got %s, want the reason NamespaceMissing", out)
	}
	wantEvents(t, w, home, "Warning  NamespaceMissing", "kubectl create namespace "+at)
	admin := w.admin(t, home)
	admin.wantListed(t, "early", `"ready":false,"reason":"NamespaceMissing","message":"Kubernetes namespace \"`+at+`\" does not exist`)
	w.MustKubectl(t, "", "create", "namespace", at)
	w.MustKubectl(t, "", "wait", "--for=condition=Ready", "dt/early", "-n", home)
	wantEvents(t, w, home, "Normal   Registered", fmt.Sprintf("Flink may run in Kubernetes namespace %q", at))

	admin.wantListed(t, "early", `"ready":true,"reason":"Registered"`)

	for _, closed := range []string{"kube-system", "drey-system"} { // excluded namespaces
		name := "at-" + closed
		w.MustKubectl(t, targetYAML(name, "", closed), "apply", "-n", home, "-f", "-")
		w.MustKubectl(t, "", "wait", "--for=condition=Ready=False", "dt/"+name, "-n", home)
		if out := w.MustKubectl(t, "", "get", "dt", name, "-n", home, "-o", "yaml"); !strings.Contains(out, "reason: NamespaceNotServed") || !strings.Contains(out, "drey excludes Kubernetes namespace") {
			t.Errorf("got %s, want the reason NamespaceNotServed", out)
		}
	}
}

// wantListed waits until the target with a name is listed over REST with a text.
func (u user) wantListed(t *testing.T, name, want string) {
	t.Helper()
	eventually.OK(t, func() error {
		if _, text := u.send(t, http.MethodGet, "/drey/v1/targets?name="+name, ""); !strings.Contains(string(text), want) {
			return fmt.Errorf("got %s, want %s", text, want)
		}
		return nil
	})
}

// wantEvents waits until the target's events, as kubectl describe prints them, have all words.
func wantEvents(t *testing.T, w *world, namespace string, words ...string) {
	t.Helper()
	eventually.OK(t, func() error {
		out := w.MustKubectl(t, "", "describe", "dt", "early", "-n", namespace)
		_, events, _ := strings.Cut(out, "\nEvents:")
		for _, word := range words {
			if !strings.Contains(events, word) {
				return fmt.Errorf("got no %q in\n%s", word, out)
			}
		}
		return nil
	})
}
