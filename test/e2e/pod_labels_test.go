package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"drey.dev/drey/test/framework/eventually"
)

// TestPodLabelsImmutable does by hand what would make tools lose a running job.
func TestPodLabelsImmutable(t *testing.T) {
	w := inWorld(t)
	t.Parallel()
	namespace := w.Namespace(t)
	w.register(t, "team-a", namespace)
	w.runJobManager(t, namespace)
	pod := w.list(t, "Pod", namespace)[0].GetName()
	do := func(args ...string) (string, error) { // the administrator, who here is also the user that drey is
		return w.RunKubectl(t, "", append(args, "-n", namespace)...)
	}

	for what, args := range map[string][]string{
		"an id":              {"label", "pod", pod, "deploymentId=x", "--overwrite"},
		"a removal":          {"label", "pod", pod, "jobId-"},
		"the mark itself":    {"label", "pod", pod, "system-"},
		"another namespace":  {"label", "pod", pod, "vvpNamespace=team-b", "--overwrite"},
		"a patch":            {"patch", "pod", pod, "--type=merge", "-p", `{"metadata":{"labels":{"deploymentName":"x"}}}`},
		"all labels at once": {"patch", "pod", pod, "--type=json", "-p", `[{"op":"replace","path":"/metadata/labels","value":{}}]`},
	} {
		out, err := do(args...)
		if err == nil {
			t.Errorf("%s: let through: %s", what, out)
		}
		for _, part := range []string{"pod-labels.drey.dev", pod, namespace, "kubectl delete pod " + pod + " -n " + namespace} {
			if !strings.Contains(out, part) {
				t.Errorf("%s: the refusal does not say %q: %s", what, part, out)
			}
		}
	}
	for what, args := range map[string][]string{
		"a label of their own":     {"label", "pod", pod, "team=nuts"},
		"the app of the cluster":   {"label", "pod", pod, "example.com/app=x"},
		"an annotation":            {"annotate", "pod", pod, "deploymentId=x"},
		"a finalizer":              {"patch", "pod", pod, "--type=merge", "-p", `{"metadata":{"finalizers":["example.com/hold"]}}`},
		"a label that has its own": {"label", "pod", pod, "system=ververica-platform", "--overwrite"},
	} {
		if out, err := do(args...); err != nil {
			t.Errorf("%s: %s", what, out)
		}
	}

	// What is missing may come, and then stays.
	bare := fmt.Sprintf(bareFlinkPod, "bare")
	w.MustKubectl(t, bare, "create", "-n", namespace, "-f", "-")
	if out, err := do("label", "pod", "bare", "jobId=7a0c0e1d-2b3a-4958-8776-655443322110"); err != nil {
		t.Error(out)
	}
	if out, err := do("label", "pod", "bare", "jobId=other", "--overwrite"); err == nil {
		t.Errorf("a job's id was changed: %s", out)
	}

	// What is going away may go, with whatever labels.
	if out, err := do("delete", "pod", pod, "--wait=false", "--now"); err != nil {
		t.Fatal(out)
	}
	if out, err := do("label", "pod", pod, "deploymentId=x", "--overwrite"); err != nil {
		t.Errorf("a pod that is being deleted: %s", out)
	}
	if out, err := do("patch", "pod", pod, "--type=merge", "-p", `{"metadata":{"finalizers":null,"labels":{"system":null}}}`); err != nil {
		t.Errorf("a finalizer cannot go: %s", out)
	}
	eventually.OK(t, 20*time.Second, func() error {
		for _, p := range w.list(t, "Pod", namespace) {
			if p.GetName() == pod {
				return fmt.Errorf("it is still there: %v", p.Object["metadata"])
			}
		}
		return nil
	})
}
