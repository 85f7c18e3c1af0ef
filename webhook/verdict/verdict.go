// Package verdict decides whether a workload may run, and which labels it gets. It is pure:
// webhooks, repair and the command line call the same functions, and all state is passed in.
package verdict

import (
	"fmt"

	"drey.dev/drey/registry"
	"drey.dev/drey/webhook/flink"
)

// Verdict is the decision on one workload.
type Verdict struct {
	Allowed bool
	Reason  Reason

	// Add lists the labels that the workload lacks, in the order of the vocabulary.
	Add []Label

	// Kept lists the labels of the workload whose value differs from the desired one. They
	// may be selectors, so they stay.
	Kept []Label

	// WrongMode lists labels of the other mode on a pod whose process shows its mode: those of
	// a session cluster on a pod of an application, or the reverse. Nothing selects by them;
	// an earlier version may have set them.
	WrongMode []Label

	workload            flink.Workload
	platform            platform
	owner               map[string]string    // the labels of the nearest admitted owner, nil if there is none
	registered          registry.Registered  // the object in the registry that the workload is a run of
	brokenLink          string               // a link on the workload to an object that is not registered
	conflict            Label                // the cause of a LabelConflict
	conflictFields      []flink.LabelField   // the fields of the workload that set it, or another foreign id
	ownerConflictFields [][]flink.LabelField // the same of each owner, in the order of flink.Workload.Owners
	immutable           []Label              // the labels that an update would change or remove
	isUpdate            bool                 // the conflict is in an update of labels
}

// Label is a label and the source of its value.
type Label struct {
	Key, Value string
	Source     Source
}

// Decide decides on a workload that is about to be created. Each rule has its own file.
func Decide(w flink.Workload, state State) Verdict {
	v := Verdict{Allowed: true, workload: w}
	switch {
	case w.Strength == flink.None:
		v.Reason = NotFlink
		return v.decideUnrecognized(nil, state)
	case !w.Recognized():
		v.Reason = InsufficientSignal
		return v.decideUnrecognized(nil, state)
	}
	targets := state.Targets(w.Object.Namespace)
	v.owner = admittedOwner(w, state)
	v.platform = platformNamespace(w, v.owner, targets, state)
	switch {
	case v.platform.hasTarget:
		v.Reason = HasTarget
	case v.owner != nil && v.platform.withoutTarget == "", w.MadeByJobManager:
		v.Reason = RunningJob
	case len(targets) == 0:
		return v.deny(NoDeploymentTarget)
	case v.platform.withoutTarget != "":
		return v.denyConflict(Label{Key: LabelPlatformNamespace, Value: v.platform.withoutTarget}, state)
	default:
		return v.deny(AmbiguousTarget)
	}
	v.joinCluster(state)
	v.link(state)
	if l, ok := v.conflictingLabel(state); ok {
		return v.denyConflict(l, state)
	}
	if v.isForeignID(v.workload.Identity.ID, state) { // of an owner reference that was not verified
		v.workload.Identity.ID = ""
	}
	v.owner = v.withoutForeignIDs(v.owner, state)
	v.setLabels()
	return v
}

func (v Verdict) deny(reason Reason) Verdict {
	v.Allowed, v.Reason = false, reason
	return v
}

// Object returns the object that was decided on.
func (v Verdict) Object() *flink.Object { return v.workload.Object }

// Workload returns the workload that was decided on.
func (v Verdict) Workload() flink.Workload { return v.workload }

// Root returns the root owner of the workload.
func (v Verdict) Root() flink.Root { return v.workload.Root }

// PlatformNamespace returns the platform namespace of the workload; of one that is denied, the
// only one with a target in its Kubernetes namespace. It is empty if there are several or none.
func (v Verdict) PlatformNamespace() string {
	switch {
	case v.platform.hasTarget:
		return v.platform.name
	case len(v.platform.candidates) == 1:
		return v.platform.candidates[0]
	}
	return ""
}

// Warning returns the warning for an allowed request, empty if there is none: a link to an
// object that is not registered.
func (v Verdict) Warning() string {
	if !v.Allowed || v.brokenLink == "" {
		return ""
	}
	return fmt.Sprintf("%s is %q, and platform namespace %q has no such object registered for namespace %q: labels use the workload's own name and id",
		linkKey(v.workload.Mode), v.brokenLink, v.platform.name, v.workload.Object.Namespace)
}
