package verdict

import (
	"slices"

	"drey.dev/drey/registry"
	"drey.dev/drey/webhook/flink"
)

// conflictingLabel returns a label of the workload that identifies something else: a
// platform namespace without a target here, or the id of another object in the registry or
// the cluster.
//
// An id that no object has is no conflict: it may stem from a restored cluster or from
// another registry. Names never conflict: several objects may have the same. See
// docs/explanation/decisions/004-label-conflicts.md.
func (v *Verdict) conflictingLabel(state State) (Label, bool) {
	if v.Reason == HasTarget {
		if l, ok := v.platformConflict(); ok {
			return l, true
		}
	}
	if v.Reason == HasTarget || v.workload.MadeByJobManager && v.owner == nil {
		return v.idConflict(state)
	}
	return Label{}, false
}

// idConflict returns an id label, of the workload or of its pods, with a foreign id.
func (v *Verdict) idConflict(state State) (Label, bool) {
	fields := v.workload.Object.LabelFields()
	for _, key := range [...]string{LabelDeploymentID, LabelSessionClusterID} {
		for _, f := range fields {
			if f.Key == key && v.isForeignID(f.Value, state) {
				return Label{Key: key, Value: f.Value}, true
			}
		}
	}
	return Label{}, false
}

// platformConflict returns a platform namespace, of the workload or of its pods, without a
// target here. A template may set another one than the workload, and an operator creates
// pods only after the custom resource was admitted.
func (v *Verdict) platformConflict() (Label, bool) {
	w := v.workload
	if w.MadeByJobManager && (len(w.Owners) == 0 || w.Owners[0].LookupFailed) {
		return Label{}, false // its owner may have the label, and the job is running
	}
	for _, f := range w.Object.LabelFields() {
		if f.Key == LabelPlatformNamespace && !v.acceptsPlatform(f.Value) {
			return Label{Key: f.Key, Value: f.Value}, true
		}
	}
	return Label{}, false
}

// denyConflict denies because of a label.
func (v Verdict) denyConflict(l Label, state State) Verdict {
	return v.denyFields(l, func(f flink.LabelField) bool {
		if l.Key == LabelPlatformNamespace {
			return f.Key != l.Key || v.acceptsPlatform(f.Value)
		}
		return f.Key == LabelPlatformNamespace || !v.isForeignID(f.Value, state)
	})
}

// denyFields denies because of a label. It collects all fields of the workload and its owners
// that are not valid, so that one command corrects them.
func (v Verdict) denyFields(l Label, valid func(flink.LabelField) bool) Verdict {
	v.conflict = l
	v.conflictFields = slices.DeleteFunc(v.workload.Object.LabelFields(), valid)
	for _, o := range v.workload.Owners {
		v.ownerConflictFields = append(v.ownerConflictFields, slices.DeleteFunc(slices.Clone(o.PodLabelFields), valid))
	}
	return v.deny(LabelConflict)
}

// SetsIdentity reports whether an update sets labels that identify a workload, or makes drey
// trust those that it has. [DecideUpdate] needs the workload's owners then.
func SetsIdentity(old, now map[string]string) bool {
	return slices.ContainsFunc(flink.IdentityLabels, func(key string) bool { return takesEffect(key, old, now) })
}

// takesEffect reports whether an update sets key, or sets system while key is there: drey
// trusts identity labels only beside system.
func takesEffect(key string, old, now map[string]string) bool {
	_, ok := now[key]
	return ok && (isSet(key, old, now) || isSet(LabelSystem, old, now))
}

func isSet(key string, old, now map[string]string) bool {
	before, had := old[key]
	value, ok := now[key]
	return ok && (!had || value != before)
}

// decideIdentityChange denies an update by which a workload takes the identity of another:
// its labels would be wrong, and so would those of its pods, which are admitted by the
// labels of their owner. No job waits for such an update.
func (v Verdict) decideIdentityChange(old map[string]string, state State) Verdict {
	w, now := v.workload, v.workload.Object.Labels
	targets := state.Targets(w.Object.Namespace)
	v.isUpdate, v.owner = true, admittedOwner(w, state)
	if name := now[LabelPlatformNamespace]; takesEffect(LabelPlatformNamespace, old, now) && name != v.owner[LabelPlatformNamespace] && !hasTarget(targets, name) {
		v.conflict = Label{Key: LabelPlatformNamespace, Value: name}
		return v.deny(LabelConflict)
	}
	v.platform = platformNamespace(w, v.owner, targets, state)
	v.joinCluster(state)
	v.link(state)
	for _, key := range [...]string{LabelDeploymentID, LabelSessionClusterID} {
		if takesEffect(key, old, now) && v.isForeignID(now[key], state) {
			v.conflict = Label{Key: key, Value: now[key]}
			return v.deny(LabelConflict)
		}
	}
	return v
}

// decideUnrecognized denies foreign identity labels on an object that is not recognized as
// Flink: if it becomes Flink later, its pods would be taken for those of a running job. old
// are the labels before an update.
func (v Verdict) decideUnrecognized(old map[string]string, state State) Verdict {
	o := v.workload.Object
	if o.Labels[LabelSystem] != System {
		return v
	}
	name := o.Labels[LabelPlatformNamespace]
	if name != "" && takesEffect(LabelPlatformNamespace, old, o.Labels) && !hasTarget(state.Targets(o.Namespace), name) {
		v.conflict = Label{Key: LabelPlatformNamespace, Value: name}
		return v.deny(LabelConflict)
	}
	for key, kind := range map[string]registry.Kind{LabelDeploymentID: registry.Deployment, LabelSessionClusterID: registry.SessionCluster} {
		id := o.Labels[key]
		if !takesEffect(key, old, o.Labels) || !v.isForeignID(id, state) {
			continue
		}
		if _, linked := state.Linked(kind, name, o.Namespace, id, ""); !linked {
			v.conflict = Label{Key: key, Value: id}
			return v.deny(LabelConflict)
		}
	}
	return v
}

// isForeignID reports whether an id belongs to another object in the registry or the cluster.
func (v *Verdict) isForeignID(id string, state State) bool {
	if id == "" || id == v.registered.ID || isOwnID(v.workload, id) {
		return false
	}
	_, registered := state.ByID(id)
	return registered || state.HasUID(id)
}

// isOwnID reports whether an id is a UID of the workload (see isOwnUID) or an id label of an
// admitted owner.
func isOwnID(w flink.Workload, id string) bool {
	if isOwnUID(w, id) {
		return true
	}
	if isUnresolved(w, id) {
		return false
	}
	for i := range w.Owners {
		o := &w.Owners[i]
		if (o.Labels[LabelDeploymentID] == id || o.Labels[LabelSessionClusterID] == id) && isAdmitted(w, *o) {
			return true
		}
	}
	return false
}

// isOwnUID reports whether an id is the UID of the workload, of one of its owners, or of the
// JobManager's workload in its cluster. Users write owner references: the UID of an owner that
// was not found with it does not count.
func isOwnUID(w flink.Workload, id string) bool {
	if id == w.Object.UID || w.IsSeparateTaskManager() && id == w.Identity.ID {
		return true
	}
	if isUnresolved(w, id) {
		return false
	}
	if id == w.Root.UID {
		return true
	}
	for i := range w.Owners {
		if w.Owners[i].UID == id {
			return true
		}
	}
	return false
}

// isUnresolved reports whether an id is the UID of an owner that was not found with it.
func isUnresolved(w flink.Workload, id string) bool {
	for i := range w.Owners {
		if w.Owners[i].UID == id && w.Owners[i].Unresolved {
			return true
		}
	}
	return false
}
