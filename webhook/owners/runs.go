package owners

import (
	"k8s.io/client-go/tools/cache"

	"drey.dev/drey/webhook/runstate"

	"drey.dev/drey/webhook/flink"
)

// Runs returns the runs of the cached workloads whose label deploymentId or, for session
// clusters, sessionClusterId has a value. Workloads that a Flink custom resource among them
// manages are left out: its status covers them. It makes no API calls.
func (o *Owners) Runs(id string) []runstate.Run {
	var custom, builtIn []runstate.Run
	for k, c := range o.caches {
		all, err := c.informer.GetIndexer().ByIndex(byID, id)
		if err != nil {
			continue
		}
		for _, object := range all {
			switch e, ok := object.(*entry); {
			case !ok || e.run.State == "" || k.custom && e.isOwnedByCustom():
			case k.custom:
				custom = append(custom, e.run)
			default:
				builtIn = append(builtIn, e.run)
			}
		}
	}
	if len(custom) > 0 {
		return custom
	}
	return builtIn
}

// OnRunChanged registers a callback for the id of each workload whose run changes, see
// [Owners.Runs]. Call it before Run. The callback must not block.
func (o *Owners) OnRunChanged(changed func(id string)) error {
	notify := func(object any) {
		if unknown, ok := object.(cache.DeletedFinalStateUnknown); ok {
			object = unknown.Obj
		}
		if e, ok := object.(*entry); ok && e.Labels[e.idLabel()] != "" {
			changed(e.Labels[e.idLabel()])
		}
	}
	return o.addHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: notify,
		UpdateFunc: func(before, after any) {
			b, isEntry := before.(*entry)
			if a, ok := after.(*entry); ok && isEntry && a.run == b.run && a.Labels[a.idLabel()] == b.Labels[b.idLabel()] {
				return
			}
			notify(before)
			notify(after)
		},
		DeleteFunc: notify,
	})
}

// idLabel returns the label with the id of the registered object that the entry runs. A job on
// a session cluster has both ids, and runs a Deployment.
func (e *entry) idLabel() string {
	if e.Labels[flink.LabelDeploymentID] != "" {
		return flink.LabelDeploymentID
	}
	return flink.LabelSessionClusterID
}

// isOwnedByCustom reports whether another Flink custom resource controls this one.
func (e *entry) isOwnedByCustom() bool {
	ref, ok := flink.PreferredOwner(e.ownerReferences())
	return ok && isCached(ref) && flink.IsCustomKind(ref.Kind)
}
