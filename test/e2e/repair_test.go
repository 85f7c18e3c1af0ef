package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/memstore"
	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/eventually"
	"drey.dev/drey/webhook/controllers/repair"
	"drey.dev/drey/webhook/flink"
)

// TestRepairPodsAfterOutage: those that a running job made, those
// of a namespace that gets a target later, and nobody else's.
func TestRepairPodsAfterOutage(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t)
	w, err := newWorld(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	registered, later := w.Namespace(t), w.Namespace(t)
	w.register(t, "team-a", registered)
	w.MustKubectl(t, "", "label", "namespace", later, "drey.dev/mode=audit") // else the gate would hold, drey or no drey
	w.MustKubectl(t, jobManager, "apply", "-n", registered, "-f", "-")
	if err := w.drey.Kill(); err != nil {
		t.Fatal(err)
	}
	w.MustKubectl(t, "", "scale", "deployment/my-job", "-n", registered, "--replicas=20")
	w.MustKubectl(t, "", "run", "web", "-n", registered, "--image=nginx")
	w.MustKubectl(t, "", "run", "bare", "-n", later, "--image=flink:2.2", "--labels=type=flink-native-kubernetes,app=bare,component=jobmanager")
	eventually.OK(t, 20*time.Second, func() error {
		if n := len(w.list(t, "Pod", registered)); n != 21 {
			return fmt.Errorf("there are %d pods", n)
		}
		return nil
	})

	if w.drey, err = newDrey(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	defer w.drey.Stop()
	eventually.OK(t, 30*time.Second, func() error { return w.labeled(t, registered, 20) })
	if err := w.labeled(t, later, 1); err == nil {
		t.Error("a pod of a namespace without a target was labeled")
	}
	eventually.OK(t, 10*time.Second, func() error {
		out := w.MustKubectl(t, "", "get", "events", "-n", later, "--field-selector", "reason=NoDeploymentTarget")
		if !strings.Contains(out, "pod/bare") || !strings.Contains(out, "curl -X POST") {
			return errors.New("no event tells of the pod: " + out)
		}
		return nil
	})
	w.register(t, "team-a", later)
	eventually.OK(t, 20*time.Second, func() error { return w.labeled(t, later, 1) })
	for _, p := range w.list(t, "Pod", registered) {
		if p.GetName() == "web" && len(p.GetLabels()) != 1 {
			t.Errorf("what is not Flink's has the labels %v", p.GetLabels())
		}
	}
}

// labeled says whether so many of a namespace's pods are.
func (w *world) labeled(t testing.TB, namespace string, want int) error {
	n := 0
	for _, p := range w.list(t, "Pod", namespace) {
		if labels := p.GetLabels(); labels["system"] == "ververica-platform" && labels["vvpNamespace"] == "team-a" {
			n++
		}
	}
	if n != want {
		return fmt.Errorf("%d pods of %s are labeled, want %d", n, namespace, want)
	}
	return nil
}

// TestRepairConflict: what somebody adds between the look and the patch
// stays, and the pod is looked at again.
func TestRepairConflict(t *testing.T) {
	w := inWorld(t)
	t.Parallel()
	namespace := w.Namespace(t) // without a target: drey itself does not repair it
	w.MustKubectl(t, "", "label", "namespace", namespace, "drey.dev/mode=audit")
	api, err := dynamic.NewForConfig(w.Config())
	if err != nil {
		t.Fatal(err)
	}
	writer, err := metadata.NewForConfig(w.Config())
	if err != nil {
		t.Fatal(err)
	}
	inspector := &repair.Inspector{Client: api, Metadata: writer, Owners: nobody{}, Known: targetFor(t, namespace)}
	eventually.OK(t, 20*time.Second, func() error { // the mode arrives by a watch
		out, err := w.RunKubectl(t, "", "run", "bare", "-n", namespace, "--image=flink:2.2", "--labels=type=flink-native-kubernetes,app=bare,component=jobmanager")
		if err != nil {
			return errors.New(out)
		}
		return nil
	})
	look := func() repair.Finding {
		f, ok, err := inspector.Pod(t.Context(), namespace, "bare")
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		return f
	}
	f := look()
	if len(f.Missing()) == 0 {
		t.Fatal("nothing is missing")
	}
	w.MustKubectl(t, "", "label", "pod", "bare", "-n", namespace, "vvpNamespace=mine")
	if err := inspector.Label(t.Context(), f); !errors.Is(err, repair.ErrChanged) {
		t.Errorf("got %v", err)
	}
	w.MustKubectl(t, "", "label", "pod", "bare", "-n", namespace, "vvpNamespace-")
	if err := inspector.Label(t.Context(), look()); err != nil {
		t.Fatal(err)
	}
	if missing := look().Missing(); len(missing) != 0 {
		t.Errorf("%v are still missing", missing)
	}
	w.MustKubectl(t, "", "delete", "pod", "bare", "-n", namespace, "--now")
	if err := inspector.Label(t.Context(), f); err != nil && !errors.Is(err, repair.ErrChanged) {
		t.Errorf("a pod that is gone: %v", err)
	}
}

type nobody struct{}

func (nobody) VerifyTemplate(_ context.Context, _ string, r flink.Owner, _ func(apiVersion, kind string, object []byte) bool) flink.Owner {
	return r
}

func (nobody) Of(_ context.Context, _ *flink.Object) ([]flink.Owner, bool) { return nil, true }

type onlyTargets struct{ *registry.Index }

func (onlyTargets) HasUID(string) bool { return false }

func (onlyTargets) Cluster(string, string) (flink.Cluster, bool) { return flink.Cluster{}, false }

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
