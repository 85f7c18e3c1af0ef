package kubestore_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"drey.dev/drey/registry/kubestore"
	"drey.dev/drey/test/framework/eventually"
)

// TestReadyCondition follows a target while its Kubernetes namespace
// is missing, is made, is served, is not, and goes.
func TestReadyCondition(t *testing.T) {
	w := inWorld(t)
	ns := w.Namespace(t)
	told := notes{of: ns}
	w.reporting(t, kubestore.Options{Tell: told.add, Serves: func(_ string, labels map[string]string) error {
		if labels["closed"] == "true" {
			return errors.New("it is closed")
		}
		return nil
	}})
	at := ns + "-flink"
	becomes := func(want string) {
		t.Helper()
		eventually.OK(t, soon, func() error {
			const ready = `jsonpath={range .status.conditions[?(@.type=="Ready")]}{.status} {.reason}: {.message}{end}`
			if out := w.MustKubectl(t, "", "get", "dt", "staging", "-n", ns, "-o", ready); !strings.HasPrefix(out, want) {
				return fmt.Errorf("Ready is %q, not %q", out, want)
			}
			return nil
		})
	}
	w.MustKubectl(t, targetYAML("staging", "", at), "apply", "-n", ns, "-f", "-")
	becomes(fmt.Sprintf("False NamespaceMissing: Kubernetes namespace %q does not exist: kubectl create namespace %s", at, at))
	w.MustKubectl(t, "", "create", "namespace", at)
	becomes(fmt.Sprintf("True Registered: REST shows it, and Flink may run in Kubernetes namespace %q", at))
	w.MustKubectl(t, "", "label", "namespace", at, "closed=true")
	becomes("False NamespaceNotServed: it is closed")
	w.MustKubectl(t, "", "label", "namespace", at, "closed-")
	becomes("True Registered")
	w.MustKubectl(t, "", "create", "configmap", "held", "-n", at)
	w.MustKubectl(t, "", "patch", "configmap", "held", "-n", at, "-p", `{"metadata":{"finalizers":["example.com/held"]}}`)
	w.MustKubectl(t, "", "delete", "namespace", at, "--wait=false")
	becomes("False NamespaceTerminating")
	w.MustKubectl(t, "", "patch", "configmap", "held", "-n", at, "--type=merge", "-p", `{"metadata":{"finalizers":null}}`)
	becomes("False NamespaceMissing")

	want := []string{
		"Warning NamespaceMissing", "Normal Registered", "Warning NamespaceNotServed", "Normal Registered", "Warning NamespaceTerminating", "Warning NamespaceMissing",
	}
	eventually.OK(t, soon, func() error { // it is told once it is written
		if got := told.all(); !slices.Equal(got, want) {
			return fmt.Errorf("told %q, want %q", got, want)
		}
		return nil
	})
}

// notes are what a store tells of the targets of a platform namespace.
type notes struct {
	of    string
	mu    sync.Mutex
	words []string
}

func (n *notes) add(about runtime.Object, eventType, reason, _ string) {
	if about.(metav1.Object).GetNamespace() != n.of {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.words = append(n.words, eventType+" "+reason)
}

func (n *notes) all() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.words)
}
