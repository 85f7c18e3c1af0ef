package gitops

import (
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/polling"
	"github.com/fluxcd/pkg/ssa"
	"github.com/fluxcd/pkg/ssa/normalize"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"drey.dev/drey/test/framework/eventually"
)

// targetKind is the value of kustomize-controller's --custom-apply-stage-kinds.
var targetKind = map[schema.GroupKind]struct{}{{Group: "drey.dev", Kind: "DeploymentTarget"}: {}}

// flux applies sets as kustomize-controller does.
type flux struct {
	*ssa.ResourceManager
	options ssa.ApplyOptions
}

func newFlux(w *world) flux {
	f := flux{
		ssa.NewResourceManager(w.client, polling.NewStatusPoller(w.client, w.client.RESTMapper(), polling.Options{}), ssa.Owner{Field: "kustomize-controller", Group: "kustomize.toolkit.fluxcd.io"}),
		ssa.DefaultApplyOptions(),
	}
	f.options.WaitInterval = 100 * time.Millisecond
	f.options.Cleanup = ssa.ApplyCleanupOptions{
		Annotations:   []string{"kubectl.kubernetes.io/last-applied-configuration"},
		FieldManagers: []ssa.FieldManager{{Name: "kubectl", OperationType: "Update", ExactMatch: false}},
	}
	return f
}

// apply reconciles one Kustomization.
func (f flux) apply(t *testing.T, name string, objects []*unstructured.Unstructured) (*ssa.ChangeSet, error) {
	t.Helper()
	if err := normalize.UnstructuredList(objects); err != nil {
		t.Fatal(err)
	}
	f.SetOwnerLabels(objects, name, "flux-system")
	return f.ApplyAllStaged(t.Context(), objects, f.options)
}

// mustApply is apply that fails the test unless each object has the action want.
func (f flux) mustApply(t *testing.T, name string, want ssa.Action, objects []*unstructured.Unstructured) *ssa.ChangeSet {
	t.Helper()
	changes, err := f.apply(t, name, objects)
	if err != nil {
		t.Fatalf("Kustomization %s: %v", name, err)
	}
	for _, c := range changes.Entries {
		if c.Action != want {
			t.Errorf("Kustomization %s: %s, want %s", name, c, want)
		}
	}
	return changes
}

// TestFluxSet applies a set with Flux's library in both documented ways. A second reconciliation
// changes nothing, and a deletion leaves nothing.
func TestFluxSet(t *testing.T) {
	w := sharedWorld(t)
	t.Run("--custom-apply-stage-kinds", func(t *testing.T) {
		s, f := w.newSet(t), newFlux(w)
		f.options.CustomStageKinds = targetKind
		f.mustApply(t, "all", ssa.CreatedAction, s.kinds())
		f.checkConverged(t, w, s, map[string][]*unstructured.Unstructured{"all": s.kinds()})
		f.prune(t, w, s, "all")
	})
	t.Run("dependsOn", func(t *testing.T) {
		s, f := w.newSet(t), newFlux(w)
		targets := s.kinds("Namespace", "DeploymentTarget")
		changes := f.mustApply(t, "targets", ssa.CreatedAction, targets)
		if err := f.WaitForSet(changes.ToObjMetadataSet(), ssa.WaitOptions{Interval: 100 * time.Millisecond, Timeout: eventually.Timeout}); err != nil { // wait: true
			t.Fatal(err)
		}
		f.mustApply(t, "workloads", ssa.CreatedAction, s.kinds(workloads...))
		f.checkConverged(t, w, s, map[string][]*unstructured.Unstructured{"targets": targets, "workloads": s.kinds(workloads...)})
	})
	t.Run("force", func(t *testing.T) { // an immutable field changes: the Deployment is deleted and created
		s, f := w.newSet(t), newFlux(w)
		f.options.CustomStageKinds, f.options.Force = targetKind, true
		f.mustApply(t, "all", ssa.CreatedAction, s.kinds())
		w.awaitLabels(t, s)
		before := w.states(t, s, false)["Deployment"]
		for _, o := range s.objects {
			if o.GetKind() == "Deployment" {
				for _, field := range [][]string{{"spec", "selector", "matchLabels", "color"}, {"spec", "template", "metadata", "labels", "color"}} {
					if err := unstructured.SetNestedField(o.Object, "blue", field...); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		f.mustApply(t, "all", ssa.CreatedAction, s.kinds("Deployment"))
		w.awaitLabels(t, s)
		if after := w.states(t, s, false)["Deployment"]; before == after {
			t.Errorf("got the same Deployment %s, want another", after)
		}
	})
	t.Run("one stage", func(t *testing.T) { // the dry run of all passes; the Deployment precedes the target
		s, f := w.newSet(t), newFlux(w)
		if _, err := f.apply(t, "all", s.kinds()); err == nil || !strings.Contains(err.Error(), "has no DeploymentTarget") || strings.Contains(err.Error(), "dry-run failed") {
			t.Errorf("got %v, want a denial of the apply, not of the dry run", err)
		}
	})
}

// checkConverged reconciles again, after drey has labeled all: nothing changes, and there is no
// drift.
func (f flux) checkConverged(t *testing.T, w *world, s set, kustomizations map[string][]*unstructured.Unstructured) {
	t.Helper()
	w.awaitLabels(t, s)
	before := w.states(t, s, false)
	for name, objects := range kustomizations {
		f.mustApply(t, name, ssa.UnchangedAction, objects)
		for _, o := range objects {
			entry, _, _, err := f.Diff(t.Context(), o, ssa.DefaultDiffOptions())
			if err != nil || entry.Action != ssa.UnchangedAction {
				t.Errorf("diff: got %v, %v, want no drift", entry, err)
			}
		}
	}
	for kind, state := range w.states(t, s, false) {
		if state != before[kind] {
			t.Errorf("%s: got %s after the second reconciliation, want %s", kind, state, before[kind])
		}
	}
}

// prune deletes a set as the deletion of its Kustomization does, and repeats it, as
// kustomize-controller does, while an object is held.
func (f flux) prune(t *testing.T, w *world, s set, name string) {
	t.Helper()
	options := ssa.DefaultDeleteOptions()
	options.Inclusions = f.GetOwnerLabels(name, "flux-system")
	eventually.OK(t, func() error {
		_, err := f.DeleteAll(t.Context(), s.kinds(), options)
		return err
	})
	w.awaitGone(t, s.kinds("Deployment", "DeploymentTarget", "FlinkDeployment", "Pod", "Namespace")...)
}
