package verdict

import (
	"cmp"

	"drey.dev/drey/registry"
	"drey.dev/drey/webhook/flink"
)

// A workload may state, as a label or an annotation, of which registered object
// it is a run: by its id or its name.
const (
	LinkDeployment     = "drey.dev/deployment"
	LinkSessionCluster = "drey.dev/session-cluster"
)

// join has TaskManagers in a workload of their own take over the identity of their
// JobManager's, if that belongs to the same platform namespace.
func (v *Verdict) join(known Known) {
	w := v.workload
	if !w.IsSeparateTaskManager() || w.Identity.Name == "" {
		return
	}
	c, ok := known.Cluster(w.Object.Namespace, registry.LabelValue(w.Identity.Name))
	if ok && c.Labels[LabelPlatformNamespace] == v.platform.name {
		v.workload = w.WithCluster(c)
	}
}

// link finds the registered object that the workload is a run of.
func (v *Verdict) link(known Known) {
	if v.platform.name == "" {
		return
	}
	var ok bool
	if v.registered, ok = linked(v.workload, v.platform.name, known); !ok {
		v.unlinked = statedLink(v.workload)
	}
}

// linked returns the registered object of a platform namespace that a workload
// is a run of: the one that it states, be it by the label that it would get, or
// the one that has its name.
func linked(w flink.Workload, platform string, known Known) (registry.Registered, bool) {
	kind, label := registry.Deployment, LabelDeploymentID
	switch w.Mode {
	case flink.Application:
	case flink.Session:
		kind, label = registry.SessionCluster, LabelSessionClusterID
	default:
		return registry.Registered{}, false
	}
	namespace := w.Object.Namespace
	if stated := statedLink(w); stated != "" {
		return known.Linked(kind, platform, namespace, stated, "")
	}
	for _, id := range [...]string{w.Object.Pod.Labels[label], w.Object.Labels[label]} {
		if r, ok := known.ByID(id); ok && id != "" {
			return known.Linked(kind, platform, namespace, r.ID, "")
		}
	}
	return known.Linked(kind, platform, namespace, "", w.Identity.Name)
}

// statedLink is what the workload or, nearest first, its owners state.
func statedLink(w flink.Workload) string {
	key, o := linkKey(w.Mode), w.Object
	if stated := cmp.Or(o.Pod.Annotations[key], o.Pod.Labels[key], o.Annotations[key], o.Labels[key]); stated != "" {
		return stated
	}
	for _, r := range w.Owners {
		if stated := cmp.Or(r.Annotations[key], r.Labels[key]); stated != "" {
			return stated
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
