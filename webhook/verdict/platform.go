package verdict

import (
	"slices"

	"drey.dev/drey/registry"
	"drey.dev/drey/webhook/flink"
)

// platform is to which platform namespace a workload belongs.
type platform struct {
	name       string // empty: nothing says
	source     Source
	hasTarget  bool     // it has a target in the workload's namespace
	stated     string   // what the workload states and that has no target here
	candidates []string // those that have a target here
}

// platformNamespace says to which platform namespace a workload belongs: the
// one that it states, if that has a target here; that of an owner that was
// admitted; the one in which it is registered; the only one that has a target
// here.
func platformNamespace(w flink.Workload, owner map[string]string, targets []registry.Target, known Known) platform {
	var p platform
	stated := statedPlatform(w)
	owners := owner[LabelPlatformNamespace]
	for _, t := range targets {
		if len(p.candidates) == 0 || p.candidates[len(p.candidates)-1] != t.PlatformNamespace { // they are in order
			p.candidates = append(p.candidates, t.PlatformNamespace)
		}
	}
	switch {
	case stated != "" && slices.Contains(p.candidates, stated):
		p.name, p.source, p.hasTarget = stated, FromStatement, true
	case stated != "" && stated != owners && !w.MadeByJobManager:
		p.stated = stated
	case owners != "":
		p.name, p.source, p.hasTarget = owners, FromOwner, slices.Contains(p.candidates, owners)
	default:
		p.name, p.source, p.hasTarget = p.only(w, known)
	}
	return p
}

// belongs holds for a platform namespace that a workload may state: one with a target
// here, or that of an owner that was admitted.
func (p platform) belongs(stated string, owner map[string]string) bool {
	return slices.Contains(p.candidates, stated) || stated == owner[LabelPlatformNamespace]
}

// only is the candidate in which the workload is registered, or else the only
// candidate.
func (p platform) only(w flink.Workload, known Known) (string, Source, bool) {
	if len(p.candidates) == 1 {
		return p.candidates[0], FromTarget, true
	}
	found := ""
	for _, c := range p.candidates {
		if _, ok := linked(w, c, known); !ok {
			continue
		}
		if found != "" {
			return "", "", false
		}
		found = c
	}
	return found, FromRegistry, found != ""
}

// statedPlatform is what the pods of a workload will say or, where they say
// nothing, what it says of itself.
func statedPlatform(w flink.Workload) string {
	if stated := w.Object.Pod.Labels[LabelPlatformNamespace]; stated != "" {
		return stated
	}
	return w.Object.Labels[LabelPlatformNamespace]
}

// admittedOwner returns the labels of the nearest owner that carries ours: it
// was admitted when it came. nil if there is none. A user with write access to a namespace can
// write labels: those of an owner count where drey has recorded a target, if it exists
// and is Flink's.
func admittedOwner(w flink.Workload, known Known) map[string]string {
	i := labeledOwner(w)
	if i < 0 || len(known.Targets(w.Object.Namespace)) == 0 && !known.HadTarget(w.Object.Namespace) {
		return nil
	}
	return w.Owners[i].Labels
}

// labeledOwner is the index of the nearest owner that carries our labels and may make
// Flink's pods; -1 if there is none.
func labeledOwner(w flink.Workload) int {
	return slices.IndexFunc(w.Owners, func(r flink.Owner) bool {
		return r.Labels[LabelPlatformNamespace] != "" && vouches(w, r)
	})
}

// vouches tells whether an owner carries our labels, and not by itself: it may make Flink's
// pods, and no custom resource that is not there is named as the owner of it.
func vouches(w flink.Workload, r flink.Owner) bool {
	return r.Labels[LabelSystem] == System && r.CreatesFlinkPods() && !slices.ContainsFunc(w.Owners, func(r flink.Owner) bool {
		return r.Unresolved && flink.IsCustomResource(r.APIVersion, r.Kind)
	})
}

// Unproven returns the index of the owner by which alone a workload may be let in that
// has no target: its labels, or that it is a Deployment, say that it belongs to a running
// job, so its template has to show Flink. ok is false if nothing depends on that.
func Unproven(w flink.Workload, known Known) (i int, ok bool) {
	if len(w.Owners) == 0 {
		return 0, false
	}
	targets := known.Targets(w.Object.Namespace)
	hasTarget := func(platform string) bool {
		return slices.ContainsFunc(targets, func(t registry.Target) bool { return t.PlatformNamespace == platform })
	}
	if i := labeledOwner(w); i >= 0 && w.Owners[i].HasPodTemplate() {
		return i, !hasTarget(w.Owners[i].Labels[LabelPlatformNamespace])
	}
	return 0, w.MadeByJobManager && len(targets) == 0
}
