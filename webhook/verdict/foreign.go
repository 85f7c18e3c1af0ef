package verdict

import (
	"maps"
	"slices"

	"drey.dev/drey/webhook/flink"
)

// IgnoreOwnerLabels decides on an admitted workload without the labels of its owners, which
// are not checked during an outage of drey: see docs/explanation/decisions/011-ids-while-drey-is-down.md.
// It denies with [LabelConflict] an id or a platform namespace of another workload that was
// admitted only because an owner has it, else it returns v. Without a target in the Kubernetes
// namespace, every platform namespace is accepted.
func (v Verdict) IgnoreOwnerLabels(state State) Verdict {
	if !v.Allowed || !v.workload.Recognized() {
		return v
	}
	accepts := func(platform string) bool {
		return len(v.platform.candidates) == 0 || slices.Contains(v.platform.candidates, platform)
	}
	valid := func(f flink.LabelField) bool {
		if f.Key == LabelPlatformNamespace {
			return accepts(f.Value)
		}
		return !v.isForeignToOwners(f.Value, state)
	}
	if l := (Label{Key: LabelPlatformNamespace, Value: v.platform.name}); l.Value != "" && !accepts(l.Value) {
		return v.denyFields(l, func(f flink.LabelField) bool { return f.Key != l.Key || valid(f) })
	}
	for _, f := range v.workload.Object.LabelFields() {
		if valid(f) {
			continue
		}
		return v.denyFields(Label{Key: f.Key, Value: f.Value}, func(other flink.LabelField) bool {
			return (other.Key == LabelPlatformNamespace) != (f.Key == LabelPlatformNamespace) || valid(other)
		})
	}
	return v
}

// isForeignToOwners reports whether an id belongs to another object in the registry or the
// cluster, even if an owner has it as a label. A registered id of the same platform namespace
// is not foreign: a job outlives the target that linked it.
func (v *Verdict) isForeignToOwners(id string, state State) bool {
	if id == "" || id == v.registered.ID || isOwnUID(v.workload, id) {
		return false
	}
	if r, ok := state.ByID(id); ok {
		return r.PlatformNamespace != v.platform.name
	}
	return state.HasUID(id)
}

// withoutForeignIDs returns the labels of an owner without ids of other workloads, which its
// pods must not inherit.
func (v *Verdict) withoutForeignIDs(owner map[string]string, state State) map[string]string {
	for _, key := range [...]string{LabelDeploymentID, LabelSessionClusterID} {
		if v.isForeignToOwners(owner[key], state) {
			owner = maps.Clone(owner)
			delete(owner, key)
		}
	}
	return owner
}

// MayConflict reports, from the metadata and the owners of an object, whether it may have the
// id or the platform namespace of another. It is true for every object that [Decide] or
// [Verdict.IgnoreOwnerLabels] denies with [LabelConflict] because of metadata.labels.
func MayConflict(w flink.Workload, state State) bool {
	targets := state.Targets(w.Object.Namespace)
	return slices.ContainsFunc(w.Object.LabelFields(), func(f flink.LabelField) bool {
		if f.Key == LabelPlatformNamespace {
			return !hasTarget(targets, f.Value)
		}
		if isOwnUID(w, f.Value) {
			return false
		}
		_, registered := state.ByID(f.Value)
		return registered || state.HasUID(f.Value)
	})
}
