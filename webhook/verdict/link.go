package verdict

import (
	"cmp"

	"drey.dev/drey/registry"
	"drey.dev/drey/webhook/flink"
)

// The labels or annotations by which a workload names the registered object that it is a run
// of. The value is the object's id or name.
const (
	LinkDeployment     = "drey.dev/deployment"
	LinkSessionCluster = "drey.dev/session-cluster"
)

// joinCluster completes the identity of TaskManagers in a workload of their own from the
// workload of their JobManager, if both belong to the same platform namespace.
func (v *Verdict) joinCluster(state State) {
	w := v.workload
	if !w.IsSeparateTaskManager() {
		return
	}
	for _, name := range w.ClusterNames() {
		c, ok := state.Cluster(w.Object.Namespace, registry.LabelValue(name))
		if ok && c.Labels[LabelPlatformNamespace] == v.platform.name {
			v.workload = w.WithCluster(c, name)
			return
		}
	}
}

// link sets the registered object that the workload is a run of, or the broken link.
func (v *Verdict) link(state State) {
	if v.platform.name == "" {
		return
	}
	var ok bool
	if v.registered, ok = linked(v.workload, v.platform.name, state); !ok {
		v.brokenLink = explicitLink(v.workload)
	}
}

// linked returns the registered object of a platform namespace that a workload is a run of:
// the one of its explicit link, else of its id label, else the one with its name.
func linked(w flink.Workload, platform string, state State) (registry.Registered, bool) {
	kind, label := registry.Deployment, LabelDeploymentID
	switch w.Mode {
	case flink.Application:
	case flink.Session:
		kind, label = registry.SessionCluster, LabelSessionClusterID
	default:
		return registry.Registered{}, false
	}
	namespace := w.Object.Namespace
	if link := explicitLink(w); link != "" {
		return state.Linked(kind, platform, namespace, link, "")
	}
	for _, id := range [...]string{w.Object.Pod.Labels[label], w.Object.Labels[label]} {
		if r, ok := state.ByID(id); ok && id != "" {
			return state.Linked(kind, platform, namespace, r.ID, "")
		}
	}
	return state.Linked(kind, platform, namespace, "", w.Identity.Name)
}

// explicitLink returns the value of the link annotation or label on the workload or, nearest
// first, on its owners.
func explicitLink(w flink.Workload) string {
	key, o := linkKey(w.Mode), w.Object
	if link := cmp.Or(o.Pod.Annotations[key], o.Pod.Labels[key], o.Annotations[key], o.Labels[key]); link != "" {
		return link
	}
	for i := range w.Owners {
		if link := cmp.Or(w.Owners[i].Annotations[key], w.Owners[i].Labels[key]); link != "" {
			return link
		}
	}
	return ""
}

func linkKey(mode flink.Mode) string {
	if mode == flink.Session {
		return LinkSessionCluster
	}
	return LinkDeployment
}
