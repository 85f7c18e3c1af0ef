package verdict

import (
	"slices"

	"drey.dev/drey/registry"
	"drey.dev/drey/webhook/flink"
)

// claim returns the label by which a workload claims the identity of another:
// an id that belongs to something else, in the registry or in the cluster. own is
// the id of what it is registered as.
//
// An id that nobody has is no claim: it may be left from a cluster that was
// restored, or be of another registry. Neither is a name: many may have it. See
// docs/decisions/004-what-is-a-label-conflict.md.
func claim(w flink.Workload, own string, known Known) (Label, bool) {
	stated := w.Object.LabelFields()
	for _, key := range [...]string{LabelDeploymentID, LabelSessionClusterID} {
		for _, s := range stated {
			if s.Key == key && isAnothers(w, s.Value, own, known) {
				return Label{Key: key, Value: s.Value}, true
			}
		}
	}
	return Label{}, false
}

// strayPlatform returns a platform namespace that a workload states, in its own labels or
// for some of its pods, and that has no target here: a template may state another than the
// workload itself, and an operator makes pods after the custom resource was let in.
func strayPlatform(w flink.Workload, p platform, owner map[string]string) (Label, bool) {
	if w.MadeByJobManager && (len(w.Owners) == 0 || w.Owners[0].LookupFailed) {
		return Label{}, false // its owner may carry it
	}
	for _, s := range w.Object.LabelFields() {
		if s.Key == LabelPlatformNamespace && !p.belongs(s.Value, owner) {
			return Label{Key: s.Key, Value: s.Value}, true
		}
	}
	return Label{}, false
}

// denyConflict denies for a label. The message names all places that state what is
// another's, of the workload and of its owners, so that one command mends them.
func (v Verdict) denyConflict(l Label, owner map[string]string, known Known) Verdict {
	v.conflict = l
	wrong := func(s flink.LabelField) bool {
		if l.Key == LabelPlatformNamespace {
			return s.Key == l.Key && !v.platform.belongs(s.Value, owner)
		}
		return s.Key != LabelPlatformNamespace && isAnothers(v.workload, s.Value, v.registered.ID, known)
	}
	v.stray = slices.DeleteFunc(v.workload.Object.LabelFields(), func(s flink.LabelField) bool { return !wrong(s) })
	for _, r := range v.workload.Owners {
		v.ownersStray = append(v.ownersStray, slices.DeleteFunc(slices.Clone(r.PodLabelFields), func(s flink.LabelField) bool { return !wrong(s) }))
	}
	return v.deny(LabelConflict)
}

// Claims tells whether an update sets labels that say whose a workload is, or has them
// believed: then [DecideUpdate] has to know the workload's owners.
func Claims(old, now map[string]string) bool {
	return slices.ContainsFunc([]string{LabelPlatformNamespace, LabelDeploymentID, LabelSessionClusterID}, func(key string) bool { return claimsAnew(key, old, now) })
}

func claimsAnew(key string, old, now map[string]string) bool {
	sets := func(key string) bool {
		was, had := old[key]
		is, has := now[key]
		return has && (!had || is != was)
	}
	_, has := now[key]
	return has && (sets(key) || sets(LabelSystem))
}

// decideClaims denies an update by which a workload gets the identity of another: its
// own labels would be wrong, and those of its pods, which are let in with what their
// owner carries. Unlike for a pod that is made, no job waits for it.
func (v Verdict) decideClaims(old map[string]string, known Known) Verdict {
	w, now := v.workload, v.workload.Object.Labels
	targets, owner := known.Targets(w.Object.Namespace), admittedOwner(w, known)
	v.isUpdate, v.owner = true, owner
	if stated := now[LabelPlatformNamespace]; claimsAnew(LabelPlatformNamespace, old, now) && stated != owner[LabelPlatformNamespace] &&
		!slices.ContainsFunc(targets, func(t registry.Target) bool { return t.PlatformNamespace == stated }) {
		v.conflict = Label{Key: LabelPlatformNamespace, Value: stated}
		return v.deny(LabelConflict)
	}
	v.platform = platformNamespace(w, owner, targets, known)
	v.join(known)
	w = v.workload
	v.link(known)
	for _, key := range [...]string{LabelDeploymentID, LabelSessionClusterID} {
		if claimsAnew(key, old, now) && isAnothers(w, now[key], v.registered.ID, known) {
			v.conflict = Label{Key: key, Value: now[key]}
			return v.deny(LabelConflict)
		}
	}
	return v
}

// decideStated denies the labels that say whose a workload is on what is not recognized as
// Flink's, if they say what is another's: the pods of what carries them, should it become
// Flink's, would be taken for those of a running job. old are the labels before an update.
func (v Verdict) decideStated(old map[string]string, known Known) Verdict {
	o := v.workload.Object
	if o.Labels[LabelSystem] != System {
		return v
	}
	platform := o.Labels[LabelPlatformNamespace]
	if platform != "" && claimsAnew(LabelPlatformNamespace, old, o.Labels) &&
		!slices.ContainsFunc(known.Targets(o.Namespace), func(t registry.Target) bool { return t.PlatformNamespace == platform }) {
		v.conflict = Label{Key: LabelPlatformNamespace, Value: platform}
		return v.deny(LabelConflict)
	}
	for key, kind := range map[string]registry.Kind{LabelDeploymentID: registry.Deployment, LabelSessionClusterID: registry.SessionCluster} {
		id := o.Labels[key]
		if !claimsAnew(key, old, o.Labels) || !isAnothers(v.workload, id, "", known) {
			continue
		}
		if _, linked := known.Linked(kind, platform, o.Namespace, id, ""); !linked {
			v.conflict = Label{Key: key, Value: id}
			return v.deny(LabelConflict)
		}
	}
	return v
}

// isAnothers holds for an id that something else has.
func isAnothers(w flink.Workload, id, own string, known Known) bool {
	if id == "" || id == own || isOwn(w, id) {
		return false
	}
	_, registered := known.ByID(id)
	return registered || known.Live(id)
}

// isOwn holds for the uids of the workload and of its owners, and for what those carry
// that were admitted: see decideClaims. Owner references are written by users: the uid
// of an owner that was not found with it is not the workload's own.
func isOwn(w flink.Workload, id string) bool {
	if id == w.Object.UID || w.IsSeparateTaskManager() && id == w.Identity.ID {
		return true
	}
	for _, r := range w.Owners {
		if r.UID == id && r.Unresolved {
			return false
		}
	}
	if id == w.Root.UID {
		return true
	}
	for _, r := range w.Owners {
		if r.UID == id || vouches(w, r) && (r.Labels[LabelDeploymentID] == id || r.Labels[LabelSessionClusterID] == id) {
			return true
		}
	}
	return false
}
