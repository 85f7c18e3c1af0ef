package owners

import "drey.dev/drey/webhook/flink"

// Runs returns the runs of the cached workloads whose label deploymentId or, for session
// clusters, sessionClusterId has a value. Workloads that a Flink custom resource among them
// manages are left out: its status covers them. It makes no API calls.
func (o *Owners) Runs(id string) []flink.Run {
	var custom, builtIn []flink.Run
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
