package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

// TestFlavorLifecycle plays the life of every flavor in
// testdata/flavors beside the same life on a control plane without drey: after every
// step there are as many ReplicaSets, pods, orphans, revisions and generations, with
// the same templates, selectors and owners. A webhook that overwrites app makes a
// ReplicaSet lose its pod, and make another, for ever: that was measured.
func TestFlavorLifecycle(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/flavors/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			t.Parallel()
			manifest, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			l := newLife(t, manifest)
			l.step("creation", l.applyAll)
			l.checkLabeled()
			l.change()
			l.lose()
			l.end(metav1.DeletePropagationBackground)
			l.step("creation anew", l.applyAll)
			l.end(metav1.DeletePropagationForeground)
			l.step("creation for the third time", l.applyAll)
			l.end(metav1.DeletePropagationOrphan)
		})
	}
}

func (l *life) applyAll(p *plane) error {
	for _, o := range l.objects {
		if err := p.apply(l, o); err != nil {
			return fmt.Errorf("%s %s: %w", o.GetKind(), o.GetName(), err)
		}
	}
	return nil
}

// checkLabeled makes sure that drey is there at all.
func (l *life) checkLabeled() {
	l.Helper()
	for _, pod := range l.drey.list(l, "Pod", l.drey.namespace) {
		if labels := pod.GetLabels(); labels["system"] == "ververica-platform" && labels["vvpNamespace"] == "team-a" {
			return
		}
	}
	l.Error("drey has labeled no pod")
}

// change scales, rolls out, applies again and patches.
func (l *life) change() {
	l.Helper()
	scale := func(by int64) func(*plane) error {
		return l.makers(func(p *plane, o *unstructured.Unstructured) error {
			field := "replicas"
			if o.GetKind() == "Job" {
				field = "parallelism"
			}
			n, _, _ := unstructured.NestedInt64(o.Object, "spec", field)
			return p.patch(l, o.GetKind(), o.GetName(), fmt.Sprintf(`{"spec":{%q:%d}}`, field, n+by))
		})
	}
	l.step("scaling up", scale(2))
	l.step("scaling down", scale(0))
	l.step("a rollout", l.makers(func(p *plane, o *unstructured.Unstructured) error {
		if o.GetKind() == "Job" { // its template is immutable
			return nil
		}
		return p.patch(l, o.GetKind(), o.GetName(), `{"spec":{"template":{"metadata":{"annotations":{"rolled":"out"}}}}}`)
	}))
	l.step("applying again", l.applyAll)
	l.step("patches", func(p *plane) error {
		for _, o := range l.objects {
			if err := p.patch(l, o.GetKind(), o.GetName(), `{"metadata":{"labels":{"team":"nuts"},"annotations":{"seen":"yes"}}}`); err != nil {
				return err
			}
		}
		return nil
	})
}

// lose deletes every pod. Controllers make others, and so does a JobManager, which
// counts its attempts.
func (l *life) lose() {
	l.Helper()
	l.step("the loss of all pods", func(p *plane) error {
		for _, pod := range p.list(l, "Pod", p.namespace) {
			if err := p.delete(l, "Pod", pod.GetName(), metav1.DeletePropagationBackground); err != nil && !apierrors.IsNotFound(err) {
				return err
			}
		}
		for _, o := range l.objects {
			if o.GetKind() != "Pod" {
				continue
			}
			next := o.DeepCopy()
			next.SetName(strings.TrimSuffix(o.GetName(), "-1") + "-2")
			if err := p.apply(l, next); err != nil {
				return err
			}
		}
		return nil
	})
}

// end deletes what is on top, with finalizers on everything, lets the finalizers go,
// and clears away what stays behind.
func (l *life) end(how metav1.DeletionPropagation) {
	l.Helper()
	finalize := l.all(func(p *plane, o *unstructured.Unstructured) error {
		text, err := json.Marshal(append(o.GetFinalizers(), hold))
		if err != nil {
			return err
		}
		return p.patch(l, o.GetKind(), o.GetName(), fmt.Sprintf(`{"metadata":{"finalizers":%s}}`, text))
	})
	l.step(string(how)+" deletion with finalizers", func(p *plane) error {
		if err := finalize(p); err != nil {
			return err
		}
		for _, o := range l.objects {
			if len(o.GetOwnerReferences()) > 0 {
				continue
			}
			if err := p.delete(l, o.GetKind(), o.GetName(), how); err != nil {
				return err
			}
		}
		return nil
	})
	l.step("the removal of finalizers", l.all(func(p *plane, o *unstructured.Unstructured) error { return p.letGo(l, o) }))
	l.step("clearing away", l.all(func(p *plane, o *unstructured.Unstructured) error {
		return p.delete(l, o.GetKind(), o.GetName(), metav1.DeletePropagationBackground)
	}))
	for _, p := range []*plane{l.drey, l.alone} {
		if left, _ := l.look(p); len(left) > 0 {
			l.Fatalf("after everything was deleted: %v", left)
		}
	}
}

const hold = "example.com/hold"

// letGo removes our finalizer, and leaves those of others.
func (p *plane) letGo(t testing.TB, o *unstructured.Unstructured) error {
	t.Helper()
	i := slices.Index(o.GetFinalizers(), hold)
	if i < 0 {
		return nil
	}
	patch := fmt.Sprintf(`[{"op":"test","path":"/metadata/finalizers/%[1]d","value":%[2]q},{"op":"remove","path":"/metadata/finalizers/%[1]d"}]`, i, hold)
	_, err := p.api.Resource(resources[o.GetKind()]).Namespace(p.namespace).Patch(t.Context(), o.GetName(), types.JSONPatchType, []byte(patch), metav1.PatchOptions{})
	return err
}

// all does something to everything that there is of the kinds of a life. What is gone
// by then is no fault.
func (l *life) all(act func(*plane, *unstructured.Unstructured) error) func(*plane) error {
	return func(p *plane) error {
		for _, kind := range l.kinds() {
			for _, o := range p.list(l, kind, p.namespace) {
				if isRootCA(&o) {
					continue
				}
				if err := act(p, &o); err != nil && !apierrors.IsNotFound(err) {
					return fmt.Errorf("%s %s: %w", kind, o.GetName(), err)
				}
			}
		}
		return nil
	}
}

// makers does something to each object of the manifest that makes pods.
func (l *life) makers(act func(*plane, *unstructured.Unstructured) error) func(*plane) error {
	return func(p *plane) error {
		for _, o := range l.objects {
			switch o.GetKind() {
			case "Deployment", "StatefulSet", "Job":
				if err := act(p, o); err != nil {
					return fmt.Errorf("%s %s: %w", o.GetKind(), o.GetName(), err)
				}
			}
		}
		return nil
	}
}
