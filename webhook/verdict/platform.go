package verdict

import (
	"slices"

	"drey.dev/drey/registry"
	"drey.dev/drey/webhook/flink"
)

// platform is the platform namespace of a workload.
type platform struct {
	name          string // empty if none could be chosen
	source        Source
	hasTarget     bool     // name has a target in the workload's namespace
	withoutTarget string   // the platform namespace of the label, if it has no target here
	candidates    []string // the platform namespaces with a target here, in order
}

// platformNamespace chooses the platform namespace of a workload: that of its label, if it
// has a target here; that of an admitted owner; the one in which the workload is registered;
// the only one with a target here.
func platformNamespace(w flink.Workload, owner map[string]string, targets []registry.Target, state State) platform {
	var p platform
	label, ownerLabel := platformLabel(w), owner[LabelPlatformNamespace]
	for _, t := range targets {
		if len(p.candidates) == 0 || p.candidates[len(p.candidates)-1] != t.PlatformNamespace { // targets are in order
			p.candidates = append(p.candidates, t.PlatformNamespace)
		}
	}
	switch {
	case label != "" && slices.Contains(p.candidates, label):
		p.name, p.source, p.hasTarget = label, FromObject, true
	case label != "" && label != ownerLabel && !w.MadeByJobManager:
		p.withoutTarget = label
	case ownerLabel != "":
		p.name, p.source, p.hasTarget = ownerLabel, FromOwner, slices.Contains(p.candidates, ownerLabel)
	default:
		p.name, p.source, p.hasTarget = p.onlyCandidate(w, state)
	}
	return p
}

// acceptsPlatform reports whether a workload may have a platform namespace as a label: one
// with a target here, or that of an admitted owner.
func (v *Verdict) acceptsPlatform(name string) bool {
	return slices.Contains(v.platform.candidates, name) || name == v.owner[LabelPlatformNamespace]
}

// onlyCandidate returns the only candidate or, among several, the only one in which the
// workload is registered.
func (p platform) onlyCandidate(w flink.Workload, state State) (name string, source Source, ok bool) {
	if len(p.candidates) == 1 {
		return p.candidates[0], FromTarget, true
	}
	for _, c := range p.candidates {
		if _, ok := linked(w, c, state); !ok {
			continue
		}
		if name != "" {
			return "", "", false
		}
		name = c
	}
	return name, FromRegistry, name != ""
}

// platformLabel returns the platform namespace in the labels of the workload's pods, else in
// its own.
func platformLabel(w flink.Workload) string {
	if label := w.Object.Pod.Labels[LabelPlatformNamespace]; label != "" {
		return label
	}
	return w.Object.Labels[LabelPlatformNamespace]
}

func hasTarget(targets []registry.Target, platformNamespace string) bool {
	return slices.ContainsFunc(targets, func(t registry.Target) bool { return t.PlatformNamespace == platformNamespace })
}

// admittedOwner returns the labels of the nearest owner that drey has admitted, nil if there
// is none. Any user with write access to a namespace can set such labels, so they count only
// where drey has recorded a target.
func admittedOwner(w flink.Workload, state State) map[string]string {
	i := labeledOwner(w)
	if i < 0 || len(state.Targets(w.Object.Namespace)) == 0 && !state.HadTarget(w.Object.Namespace) {
		return nil
	}
	return w.Owners[i].Labels
}

// labeledOwner returns the index of the nearest owner with the labels of an admitted one, -1
// if there is none.
func labeledOwner(w flink.Workload) int {
	return slices.IndexFunc(w.Owners, func(o flink.Owner) bool {
		return o.Labels[LabelPlatformNamespace] != "" && isAdmitted(w, o)
	})
}

// isAdmitted reports whether an owner has drey's labels and may create Flink pods. No owner
// of w counts if the chain names a custom resource that does not exist.
func isAdmitted(w flink.Workload, o flink.Owner) bool {
	return o.Labels[LabelSystem] == System && o.CreatesFlinkPods() && !slices.ContainsFunc(w.Owners, func(o flink.Owner) bool {
		return o.Unresolved && flink.IsCustomResource(o.APIVersion, o.Kind)
	})
}

// OwnerToVerify returns the index of the owner whose pod template has to be verified as
// Flink's: without a target, its labels or its kind alone would admit the workload as part of
// a running job. ok is false if the verdict does not depend on it.
func OwnerToVerify(w flink.Workload, state State) (i int, ok bool) {
	if len(w.Owners) == 0 {
		return 0, false
	}
	targets := state.Targets(w.Object.Namespace)
	if i := labeledOwner(w); i >= 0 && w.Owners[i].HasPodTemplate() {
		return i, !hasTarget(targets, w.Owners[i].Labels[LabelPlatformNamespace])
	}
	return 0, w.MadeByJobManager && len(targets) == 0
}
