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

// TestReadyCondition reads the condition Ready and the events of a target while its
// Kubernetes namespace is missing, created, excluded, terminating and deleted.
func TestReadyCondition(t *testing.T) {
	w := sharedWorld(t)
	ns := w.Namespace(t)
	recorded := recorder{namespace: ns}
	w.reporting(t, kubestore.Options{RecordEvent: recorded.add, CheckNamespace: func(_ string, labels map[string]string) error {
		if labels["closed"] == "true" {
			return errors.New("it is closed")
		}
		return nil
	}})
	at := ns + "-flink"
	wantReady := func(want string) {
		t.Helper()
		eventually.OK(t, func() error {
			const ready = `jsonpath={range .status.conditions[?(@.type=="Ready")]}{.status} {.reason}: {.message}{end}`
			if out := w.MustKubectl(t, "", "get", "dt", "staging", "-n", ns, "-o", ready); !strings.HasPrefix(out, want) {
				return fmt.Errorf("Ready: got %q, want %q", out, want)
			}
			return nil
		})
	}
	w.MustKubectl(t, targetYAML("staging", "", at), "apply", "-n", ns, "-f", "-")
	wantReady(fmt.Sprintf("False NamespaceMissing: Kubernetes namespace %q does not exist: kubectl create namespace %s", at, at))
	w.MustKubectl(t, "", "create", "namespace", at)
	wantReady(fmt.Sprintf("True Registered: Flink may run in Kubernetes namespace %q", at))
	w.MustKubectl(t, "", "label", "namespace", at, "closed=true")
	wantReady("False NamespaceNotServed: it is closed")
	w.MustKubectl(t, "", "label", "namespace", at, "closed-")
	wantReady("True Registered")
	w.MustKubectl(t, "", "create", "configmap", "held", "-n", at)
	w.MustKubectl(t, "", "patch", "configmap", "held", "-n", at, "-p", `{"metadata":{"finalizers":["example.com/held"]}}`)
	w.MustKubectl(t, "", "delete", "namespace", at, "--wait=false")
	wantReady("False NamespaceTerminating")
	w.MustKubectl(t, "", "patch", "configmap", "held", "-n", at, "--type=merge", "-p", `{"metadata":{"finalizers":null}}`)
	wantReady("False NamespaceMissing")

	want := []string{
		"Warning NamespaceMissing", "Normal Registered", "Warning NamespaceNotServed", "Normal Registered", "Warning NamespaceTerminating", "Warning NamespaceMissing",
	}
	eventually.OK(t, func() error { // the event follows the status
		if got := recorded.all(); !slices.Equal(got, want) {
			return fmt.Errorf("got the events %q, want %q", got, want)
		}
		return nil
	})
}

// recorder records the Kubernetes events that a store sends for one namespace.
type recorder struct {
	namespace string
	mu        sync.Mutex
	events    []string
}

func (r *recorder) add(about runtime.Object, eventType, reason, _ string) {
	if about.(metav1.Object).GetNamespace() != r.namespace {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, eventType+" "+reason)
}

func (r *recorder) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}
