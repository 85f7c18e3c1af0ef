package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/memstore"
	"drey.dev/drey/test/framework/eventually"
	"drey.dev/drey/webhook/controllers/repair"
	"drey.dev/drey/webhook/flink"
)

// repairPodsOutage has pods created while drey is down. After a restart drey labels
// those of a running job, and those of a namespace that is registered later; it leaves pods
// without Flink unchanged.
func repairPodsOutage(t *testing.T, w *world) (c outageCase) {
	registered, later := w.Namespace(t), w.Namespace(t)
	c.up = func(t *testing.T) {
		w.register(t, "team-a", registered)
		w.MustKubectl(t, "", "label", "namespace", later, "drey.dev/mode=audit") // else the policy denies the pod
		w.MustKubectl(t, jobManager, "apply", "-n", registered, "-f", "-")
	}
	c.down = func(t *testing.T) {
		w.MustKubectl(t, "", "scale", "deployment/my-job", "-n", registered, "--replicas=20")
		w.MustKubectl(t, "", "run", "web", "-n", registered, "--image=nginx")
		w.MustKubectl(t, "", "run", "bare", "-n", later, "--image=flink:2.2", "--labels=type=flink-native-kubernetes,app=bare,component=jobmanager")
		eventually.OK(t, func() error { return w.checkPodCount(t, registered, 21) })
	}
	c.again = func(t *testing.T) {
		eventually.OK(t, func() error { return w.checkLabeledPods(t, registered, 20) })
		if err := w.checkLabeledPods(t, later, 1); err == nil {
			t.Error("a pod in a namespace without a target is labeled")
		}
		eventually.OK(t, func() error {
			out := w.MustKubectl(t, "", "get", "events", "-n", later, "--field-selector", "reason=NoDeploymentTarget")
			if !strings.Contains(out, "pod/bare") || !strings.Contains(out, "curl -X POST") {
				return errors.New("no event NoDeploymentTarget about the pod: " + out)
			}
			return nil
		})
		w.register(t, "team-a", later)
		eventually.OK(t, func() error { return w.checkLabeledPods(t, later, 1) })
		for _, p := range w.list(t, "Pod", registered) {
			if p.GetName() == "web" && len(p.GetLabels()) != 1 {
				t.Errorf("labels of a pod without Flink: got %v, want its own only", p.GetLabels())
			}
		}
	}
	return c
}

// checkLabeledPods compares the number of pods in a namespace that have the labels of team-a.
func (w *world) checkLabeledPods(t testing.TB, namespace string, want int) error {
	n := 0
	for _, p := range w.list(t, "Pod", namespace) {
		if labels := p.GetLabels(); labels["system"] == "ververica-platform" && labels["vvpNamespace"] == "team-a" {
			n++
		}
	}
	if n != want {
		return fmt.Errorf("labeled pods in namespace %s: got %d, want %d", namespace, n, want)
	}
	return nil
}

// TestRepairConflict changes a pod between its inspection and the patch: the patch fails with
// repair.ErrChanged, and the change stays.
func TestRepairConflict(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	namespace := w.Namespace(t) // without a target, so drey does not repair it
	w.MustKubectl(t, "", "label", "namespace", namespace, "drey.dev/mode=audit")
	api, err := dynamic.NewForConfig(w.Config())
	if err != nil {
		t.Fatal(err)
	}
	writer, err := metadata.NewForConfig(w.Config())
	if err != nil {
		t.Fatal(err)
	}
	inspector := &repair.Inspector{Client: api, Metadata: writer, Owners: noOwners{}, Known: targetFor(t, namespace)}
	eventually.OK(t, func() error { // drey follows modes by a watch
		out, err := w.RunKubectl(t, "", "run", "bare", "-n", namespace, "--image=flink:2.2", "--labels=type=flink-native-kubernetes,app=bare,component=jobmanager")
		if err != nil {
			return errors.New(out)
		}
		return nil
	})
	inspect := func() repair.Finding {
		f, ok, err := inspector.Pod(t.Context(), namespace, "bare")
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		return f
	}
	f := inspect()
	if len(f.Missing()) == 0 {
		t.Fatal("missing labels: got none, want some")
	}
	w.MustKubectl(t, "", "label", "pod", "bare", "-n", namespace, "vvpNamespace=mine")
	if err := inspector.Label(t.Context(), f); !errors.Is(err, repair.ErrChanged) {
		t.Errorf("label a changed pod: got %v, want repair.ErrChanged", err)
	}
	w.MustKubectl(t, "", "label", "pod", "bare", "-n", namespace, "vvpNamespace-")
	if err := inspector.Label(t.Context(), inspect()); err != nil {
		t.Fatal(err)
	}
	if missing := inspect().Missing(); len(missing) != 0 {
		t.Errorf("missing labels after the repair: got %v, want none", missing)
	}
	w.MustKubectl(t, "", "delete", "pod", "bare", "-n", namespace, "--now")
	if err := inspector.Label(t.Context(), f); err != nil && !errors.Is(err, repair.ErrChanged) {
		t.Errorf("label a deleted pod: got %v, want repair.ErrChanged or none", err)
	}
}

// noOwners finds no owner of any object.
type noOwners struct{}

func (noOwners) VerifyTemplate(_ context.Context, _ string, r flink.Owner, _ func(apiVersion, kind string, object []byte) bool) flink.Owner {
	return r
}

func (noOwners) Of(_ context.Context, _ *flink.Object) ([]flink.Owner, bool) { return nil, true }

// onlyTargets is an index of targets, without clusters and running workloads.
type onlyTargets struct{ *registry.Index }

func (onlyTargets) HasUID(string) bool { return false }

func (onlyTargets) Cluster(string, string) (flink.Cluster, bool) { return flink.Cluster{}, false }

// targetFor returns an index with one target of team-a, for a namespace.
func targetFor(t *testing.T, namespace string) onlyTargets {
	t.Helper()
	store, x := memstore.New(), registry.NewIndex("drey-system")
	if _, err := store.Create(t.Context(), registry.Object{
		Kind: registry.DeploymentTarget, Metadata: registry.Metadata{Namespace: "team-a", Name: "t", ID: "1"}, Spec: fmt.Appendf(nil, `{"kubernetes":{"namespace":%q}}`, namespace),
	}); err != nil {
		t.Fatal(err)
	}
	if err := x.Follow(t.Context(), store); err != nil {
		t.Fatal(err)
	}
	return onlyTargets{x}
}

func (onlyTargets) HadTarget(string) bool { return false }
