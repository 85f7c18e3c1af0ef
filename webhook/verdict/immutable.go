package verdict

import (
	"slices"

	"drey.dev/drey/webhook/flink"
)

// firm are the labels by which a running pod is found. Whatever is there stays
// while the pod lives; what is missing may come.
var firm = [...]string{
	LabelKind, LabelSystem, LabelPlatformNamespace, LabelDeploymentID, LabelDeploymentName, LabelJobID, LabelSessionClusterID, LabelSessionClusterName,
}

// DecideUpdate decides on a change to a workload whose labels were old. Whatever is there
// of firm labels stays on a pod while it lives, unless drey has never been on it or the
// label is of the mode that the pod's process shows that it is not in; an app
// that its maker chose may change. What makes pods may be relabeled. Neither gets the
// identity of another: see decideClaims. The caller keeps apart what is being deleted.
// Drey itself needs no exception: it only ever adds what is missing, and the workload's
// own.
func DecideUpdate(w flink.Workload, old map[string]string, known Known) Verdict {
	v := Verdict{Allowed: true, Reason: NotApplicable, workload: w}
	if w.Object.Kind == "Pod" {
		mended := wrong(w, old)
		for _, l := range given(old) {
			after, is := w.Object.Labels[l.Key]
			if !is && slices.Contains(mended, l) {
				continue
			}
			if !is || after != l.Value {
				v.was = append(v.was, l)
			}
		}
	}
	if len(v.was) > 0 {
		return v.deny(LabelImmutable)
	}
	switch {
	case !Claims(old, w.Object.Labels):
		return v
	case w.Recognized():
		return v.decideClaims(old, known)
	}
	return v.decideStated(old, known)
}

// Lost returns the labels that an update of a workload forgets, and that its pods
// need: when its target vanishes, they are let in because it carries them. Whoever
// replaces a workload by its manifest does not mean to take that away. A label that is
// set to another value is not lost.
func Lost(old, now map[string]string) (lost []Label) {
	for _, l := range given(old) {
		if _, is := now[l.Key]; !is {
			lost = append(lost, l)
		}
	}
	return lost
}

// given are the labels by which drey knows again what it has labeled; none where it
// has never been.
func given(labels map[string]string) (all []Label) {
	if labels[LabelSystem] != System {
		return nil
	}
	for _, key := range firm {
		if value, is := labels[key]; is {
			all = append(all, Label{Key: key, Value: value})
		}
	}
	if app := labels[LabelApp]; app == AppJob || app == AppSessionCluster {
		all = append(all, Label{Key: LabelApp, Value: app})
	}
	return all
}
