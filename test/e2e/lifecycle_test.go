package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

// TestFlavorLifecycle creates, changes and deletes the workloads of each flavor in
// testdata/flavors on two control planes, with and without drey. After each step both have
// the same ReplicaSets, pods, orphans, revisions and generations, with the same templates,
// selectors and owners. A webhook that overwrites the label app fails this test: a ReplicaSet
// releases such a pod and creates another, without end.
func TestFlavorLifecycle(t *testing.T) {
	t.Parallel()
	for _, flavor := range flavors(t) {
		t.Run(flavor, func(t *testing.T) {
			t.Parallel()
			c := newComparison(t, flavorObjects(t, flavor))
			c.step("creation", c.applyAll)
			c.checkLabeled()
			c.change()
			c.deletePods()
			c.deleteAll(metav1.DeletePropagationBackground)
			c.step("second creation", c.applyAll)
			c.deleteAll(metav1.DeletePropagationForeground)
			c.step("third creation", c.applyAll)
			c.deleteAll(metav1.DeletePropagationOrphan)
		})
	}
}

func (c *comparison) applyAll(s *scope) error {
	for _, o := range c.objects {
		if err := s.apply(c, o); err != nil {
			return fmt.Errorf("%s %s: %w", o.GetKind(), o.GetName(), err)
		}
	}
	return nil
}

// checkLabeled fails the test unless drey has labeled a pod.
func (c *comparison) checkLabeled() {
	c.Helper()
	for _, pod := range c.with.list(c, "Pod", c.with.namespace) {
		if labels := pod.GetLabels(); labels["system"] == "ververica-platform" && labels["vvpNamespace"] == "team-a" {
			return
		}
	}
	c.Error("labeled pods: got none, want some")
}

// change scales the workloads up and down, rolls them out, applies them again and patches
// them.
func (c *comparison) change() {
	c.Helper()
	scale := func(by int64) func(*scope) error {
		return c.forWorkloads(func(s *scope, o *unstructured.Unstructured) error {
			field := "replicas"
			if o.GetKind() == "Job" {
				field = "parallelism"
			}
			n, _, _ := unstructured.NestedInt64(o.Object, "spec", field)
			return s.patch(c, o.GetKind(), o.GetName(), fmt.Sprintf(`{"spec":{%q:%d}}`, field, n+by))
		})
	}
	c.step("scaling up", scale(2))
	c.step("scaling down", scale(0))
	c.step("a rollout", c.forWorkloads(func(s *scope, o *unstructured.Unstructured) error {
		if o.GetKind() == "Job" { // its template is immutable
			return nil
		}
		return s.patch(c, o.GetKind(), o.GetName(), `{"spec":{"template":{"metadata":{"annotations":{"rolled":"out"}}}}}`)
	}))
	c.step("applying again", c.applyAll)
	c.step("patches", func(s *scope) error {
		for _, o := range c.objects {
			if err := s.patch(c, o.GetKind(), o.GetName(), `{"metadata":{"labels":{"team":"nuts"},"annotations":{"seen":"yes"}}}`); err != nil {
				return err
			}
		}
		return nil
	})
}

// deletePods deletes all pods. Controllers replace theirs, and so do JobManagers, under the
// name of their next attempt.
func (c *comparison) deletePods() {
	c.Helper()
	c.step("deletion of all pods", func(s *scope) error {
		for _, pod := range s.list(c, "Pod", s.namespace) {
			if err := s.delete(c, "Pod", pod.GetName(), metav1.DeletePropagationBackground); err != nil && !apierrors.IsNotFound(err) {
				return err
			}
		}
		for _, o := range c.objects {
			if o.GetKind() != "Pod" {
				continue
			}
			next := o.DeepCopy()
			next.SetName(strings.TrimSuffix(o.GetName(), "-1") + "-2")
			if err := s.apply(c, next); err != nil {
				return err
			}
		}
		return nil
	})
}

// deleteAll adds a finalizer to all objects, deletes those without owners, removes the
// finalizers, and deletes the rest.
func (c *comparison) deleteAll(policy metav1.DeletionPropagation) {
	c.Helper()
	addFinalizers := c.forAll(func(s *scope, o *unstructured.Unstructured) error {
		text, err := json.Marshal(append(o.GetFinalizers(), hold))
		if err != nil {
			return err
		}
		return s.patch(c, o.GetKind(), o.GetName(), fmt.Sprintf(`{"metadata":{"finalizers":%s}}`, text))
	})
	c.step(string(policy)+" deletion with finalizers", func(s *scope) error {
		if err := addFinalizers(s); err != nil {
			return err
		}
		for _, o := range c.objects {
			if len(o.GetOwnerReferences()) > 0 {
				continue
			}
			if err := s.delete(c, o.GetKind(), o.GetName(), policy); err != nil {
				return err
			}
		}
		return nil
	})
	c.step("removal of finalizers", c.forAll(func(s *scope, o *unstructured.Unstructured) error { return s.removeFinalizer(c, o) }))
	c.step("deletion of the rest", c.forAll(func(s *scope, o *unstructured.Unstructured) error {
		return s.delete(c, o.GetKind(), o.GetName(), metav1.DeletePropagationBackground)
	}))
	for _, s := range []*scope{c.with, c.without} {
		if left, _ := c.snapshot(s); len(left) > 0 {
			c.Fatalf("after the deletion: got %v, want no objects", left)
		}
	}
}

const hold = "example.com/hold"

// removeFinalizer removes the finalizer hold, and keeps others.
func (s *scope) removeFinalizer(t testing.TB, o *unstructured.Unstructured) error {
	t.Helper()
	i := slices.Index(o.GetFinalizers(), hold)
	if i < 0 {
		return nil
	}
	patch := fmt.Sprintf(`[{"op":"test","path":"/metadata/finalizers/%[1]d","value":%[2]q},{"op":"remove","path":"/metadata/finalizers/%[1]d"}]`, i, hold)
	_, err := s.api.Resource(resources[o.GetKind()]).Namespace(s.namespace).Patch(t.Context(), o.GetName(), types.JSONPatchType, []byte(patch), metav1.PatchOptions{})
	return err
}

// forAll returns an action on each object of a scope. Objects that are gone by then are
// skipped.
func (c *comparison) forAll(act func(*scope, *unstructured.Unstructured) error) func(*scope) error {
	return func(s *scope) error {
		for _, kind := range c.kinds() {
			for _, o := range s.list(c, kind, s.namespace) {
				if isRootCA(&o) {
					continue
				}
				if err := act(s, &o); err != nil && !apierrors.IsNotFound(err) {
					return fmt.Errorf("%s %s: %w", kind, o.GetName(), err)
				}
			}
		}
		return nil
	}
}

// forWorkloads returns an action on each Deployment, StatefulSet and Job of the manifest.
func (c *comparison) forWorkloads(act func(*scope, *unstructured.Unstructured) error) func(*scope) error {
	return func(s *scope) error {
		for _, o := range c.objects {
			switch o.GetKind() {
			case "Deployment", "StatefulSet", "Job":
				if err := act(s, o); err != nil {
					return fmt.Errorf("%s %s: %w", o.GetKind(), o.GetName(), err)
				}
			}
		}
		return nil
	}
}
