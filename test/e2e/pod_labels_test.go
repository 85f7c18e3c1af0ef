package e2e

import (
	"fmt"
	"strings"
	"testing"

	"drey.dev/drey/test/framework/eventually"
)

// TestPodLabelsImmutable changes labels of a running pod: drey denies changes of its own labels,
// and allows other changes and all changes of a terminating pod.
func TestPodLabelsImmutable(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	namespace := w.Namespace(t)
	w.register(t, "team-a", namespace)
	w.runJobManager(t, namespace)
	pod := w.list(t, "Pod", namespace)[0].GetName()
	kubectl := func(args ...string) (string, error) { // as cluster administrator
		return w.RunKubectl(t, "", append(args, "-n", namespace)...)
	}

	for rule, args := range map[string][]string{
		"id":                 {"label", "pod", pod, "deploymentId=x", "--overwrite"},
		"removal":            {"label", "pod", pod, "jobId-"},
		"system":             {"label", "pod", pod, "system-"},
		"platform namespace": {"label", "pod", pod, "vvpNamespace=team-b", "--overwrite"},
		"merge patch":        {"patch", "pod", pod, "--type=merge", "-p", `{"metadata":{"labels":{"deploymentName":"x"}}}`},
		"all labels":         {"patch", "pod", pod, "--type=json", "-p", `[{"op":"replace","path":"/metadata/labels","value":{}}]`},
	} {
		out, err := kubectl(args...)
		if err == nil {
			t.Errorf("%s: got %s, want a denial", rule, out)
		}
		for _, part := range []string{"pod-labels.drey.dev", pod, namespace, "kubectl delete pod " + pod + " -n " + namespace} {
			if !strings.Contains(out, part) {
				t.Errorf("%s: denial: got %s, want it to contain %q", rule, out, part)
			}
		}
	}
	for rule, args := range map[string][]string{
		"other label":     {"label", "pod", pod, "team=nuts"},
		"other label app": {"label", "pod", pod, "example.com/app=x"},
		"annotation":      {"annotate", "pod", pod, "deploymentId=x"},
		"finalizer":       {"patch", "pod", pod, "--type=merge", "-p", `{"metadata":{"finalizers":["example.com/hold"]}}`},
		"same value":      {"label", "pod", pod, "system=ververica-platform", "--overwrite"},
	} {
		if out, err := kubectl(args...); err != nil {
			t.Errorf("%s: got %v: %s, want it allowed", rule, err, out)
		}
	}

	// A missing label can be added, and is immutable then.
	bare := fmt.Sprintf(bareFlinkPod, "bare")
	w.MustKubectl(t, bare, "create", "-n", namespace, "-f", "-")
	if out, err := kubectl("label", "pod", "bare", "jobId=7a0c0e1d-2b3a-4958-8776-655443322110"); err != nil {
		t.Errorf("add a missing label: %v: %s", err, out)
	}
	if out, err := kubectl("label", "pod", "bare", "jobId=other", "--overwrite"); err == nil {
		t.Errorf("change jobId: got %s, want a denial", out)
	}

	// A terminating pod can be changed, so that its finalizers can be removed.
	if out, err := kubectl("delete", "pod", pod, "--wait=false", "--now"); err != nil {
		t.Fatal(out)
	}
	if out, err := kubectl("label", "pod", pod, "deploymentId=x", "--overwrite"); err != nil {
		t.Errorf("label a terminating pod: %v: %s", err, out)
	}
	if out, err := kubectl("patch", "pod", pod, "--type=merge", "-p", `{"metadata":{"finalizers":null,"labels":{"system":null}}}`); err != nil {
		t.Errorf("remove a finalizer: %v: %s", err, out)
	}
	eventually.OK(t, func() error {
		for _, p := range w.list(t, "Pod", namespace) {
			if p.GetName() == pod {
				return fmt.Errorf("pod %s is not deleted: %v", pod, p.Object["metadata"])
			}
		}
		return nil
	})
}
