package verdict

import "drey.dev/drey/webhook/flink"

// claim returns the label by which a workload claims the identity of another:
// an id that belongs to something else, in the registry or in the cluster. own is
// the id of what it is registered as.
//
// An id that nobody has is no claim: it may be left from a cluster that was
// restored, or be of another registry. Neither is a name: many may have it. See
// docs/decisions/004-what-is-a-label-conflict.md.
func claim(w flink.Workload, own string, known Known) (Label, bool) {
	for _, key := range [...]string{LabelDeploymentID, LabelSessionClusterID} {
		for _, id := range [...]string{w.Object.Labels[key], w.Object.Pod.Labels[key]} {
			switch {
			case id == "", id == own, isOwn(w, id):
			default:
				if _, registered := known.ByID(id); registered || known.Live(id) {
					return Label{Key: key, Value: id}, true
				}
			}
		}
	}
	return Label{}, false
}

// isOwn holds for the uids of the workload and of its owners.
func isOwn(w flink.Workload, id string) bool {
	if id == w.Object.UID || id == w.Root.UID {
		return true
	}
	for _, r := range w.Relatives {
		if r.UID == id || r.Labels[LabelDeploymentID] == id || r.Labels[LabelSessionClusterID] == id {
			return true
		}
	}
	return false
}
