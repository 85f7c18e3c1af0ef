package verdict

import (
	"slices"

	"drey.dev/drey/webhook/flink"
)

// immutableKeys are the labels that identify a running pod. A value stays for the lifetime of
// the pod; a missing label may be added.
var immutableKeys = [...]string{
	LabelKind, LabelSystem, LabelPlatformNamespace, LabelDeploymentID, LabelDeploymentName, LabelJobID, LabelSessionClusterID, LabelSessionClusterName,
}

// DecideUpdate decides on an update of a workload whose labels were old. Callers leave out
// terminating objects.
//
// The identity labels of a pod that drey has labeled are immutable, except labels of the
// wrong mode, which may be removed, and an app that drey did not set. Objects that create
// pods may be relabeled. Neither may take the identity of another workload: see
// [Verdict.decideIdentityChange]. Drey's own updates need no exception: they only add the
// workload's own labels.
func DecideUpdate(w flink.Workload, old map[string]string, state State) Verdict {
	v := Verdict{Allowed: true, Reason: NotApplicable, workload: w}
	if w.Object.Kind == "Pod" {
		removable := wrongModeLabels(w, old)
		for _, l := range ownLabels(old) {
			value, ok := w.Object.Labels[l.Key]
			if !ok && slices.Contains(removable, l) {
				continue
			}
			if !ok || value != l.Value {
				v.immutable = append(v.immutable, l)
			}
		}
	}
	if len(v.immutable) > 0 {
		return v.deny(LabelImmutable)
	}
	switch {
	case !SetsIdentity(old, w.Object.Labels):
		return v
	case w.Recognized():
		return v.decideIdentityChange(old, state)
	}
	return v.decideUnrecognized(old, state)
}

// RemovedLabels returns drey's labels that an update of a workload removes. A manifest that
// is applied again lacks them, and the pods need them: without a target they are admitted by
// the labels of their owner. A label that is set to another value is not returned.
func RemovedLabels(old, now map[string]string) (removed []Label) {
	for _, l := range ownLabels(old) {
		if _, ok := now[l.Key]; !ok {
			removed = append(removed, l)
		}
	}
	return removed
}

// ownLabels returns the labels of an object that drey has labeled, nil for other objects.
func ownLabels(labels map[string]string) (all []Label) {
	if labels[LabelSystem] != System {
		return nil
	}
	for _, key := range immutableKeys {
		if value, ok := labels[key]; ok {
			all = append(all, Label{Key: key, Value: value})
		}
	}
	if app := labels[LabelApp]; app == AppJob || app == AppSessionCluster {
		all = append(all, Label{Key: LabelApp, Value: app})
	}
	return all
}
