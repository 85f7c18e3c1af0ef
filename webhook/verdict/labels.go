package verdict

import (
	"drey.dev/drey/registry"
	"drey.dev/drey/webhook/flink"
)

// label compares the labels that the workload should have with those that it
// has. A label without a source is left out; one that is there stays.
func (v *Verdict) label(owner map[string]string) {
	have := v.workload.Object.Labels
	v.Wrong = wrong(v.workload, have)
	var buffer [7]Label
	v.Add = make([]Label, 0, len(buffer))
	for _, l := range v.wanted(buffer[:0], owner) {
		l = v.asItsPods(l)
		switch value, ok := have[l.Key]; {
		case l.Value == "", !registry.IsLabelValue(l.Value), v.workload.ExcludesLabel(l.Key):
		case !ok:
			v.Add = append(v.Add, l)
		case value != l.Value:
			v.Kept = append(v.Kept, Label{Key: l.Key, Value: value, Source: FromStatement})
		}
	}
}

// wrong returns the labels of the mode that a pod's process shows that it is not in.
func wrong(w flink.Workload, labels map[string]string) (all []Label) {
	if !w.ModeFromSpec || w.Object.Kind != "Pod" || labels[LabelSystem] != System {
		return nil
	}
	keys, app := []string{LabelSessionClusterID, LabelSessionClusterName}, AppJob
	if w.Mode == flink.Session {
		keys, app = []string{LabelDeploymentID, LabelDeploymentName, LabelJobID}, AppSessionCluster
	}
	for _, key := range keys {
		if value, is := labels[key]; is {
			all = append(all, Label{Key: key, Value: value})
		}
	}
	if value, is := labels[LabelKind]; is && value != app {
		all = append(all, Label{Key: LabelKind, Value: value})
	}
	return all
}

// asItsPods is a label as the template states it: what makes pods does not go by
// another id or name than they do.
func (v *Verdict) asItsPods(l Label) Label {
	o := v.workload.Object
	switch o.Kind {
	case "Pod", "Service", "ConfigMap":
		return l
	}
	switch l.Key {
	case LabelDeploymentID, LabelDeploymentName, LabelSessionClusterID, LabelSessionClusterName:
		if stated := o.Pod.Labels[l.Key]; stated != "" && registry.IsLabelValue(stated) {
			return Label{l.Key, stated, FromStatement}
		}
	}
	return l
}

// wanted appends the labels of the identity table. Whoever does not know its
// mode gets what both modes have in common.
func (v *Verdict) wanted(list []Label, owner map[string]string) []Label {
	list = append(list, Label{LabelApp, "", FromMode}, Label{LabelKind, "", FromMode}, Label{LabelSystem, System, Constant}, Label{LabelPlatformNamespace, v.platform.name, v.platform.source})
	switch v.workload.Mode {
	case flink.Application:
		list[0].Value, list[1].Value = AppJob, AppJob
		list = append(list, v.id(LabelDeploymentID, owner), v.name(LabelDeploymentName, owner))
		if makesPodsOfOneJob(v.workload.Object.Kind) {
			list = append(list, Label{LabelJobID, v.workload.Identity.JobID, FromJob})
		}
	case flink.Session:
		list[0].Value, list[1].Value = AppSessionCluster, AppSessionCluster
		list = append(list, v.id(LabelSessionClusterID, owner), v.name(LabelSessionClusterName, owner))
	}
	return list
}

// makesPodsOfOneJob keeps the id of a job to what does not outlive it: the job of
// a FlinkDeployment is another after its next upgrade.
func makesPodsOfOneJob(kind string) bool { return kind == "Pod" }

// id is that of the registered object, else the root's uid. What an admitted
// owner was given comes first when its target is gone, and last otherwise: it
// stands in for what could not be looked up.
func (v *Verdict) id(key string, owner map[string]string) Label {
	l := v.firstOf(key, owner[key], v.registered.ID, v.workload.Identity.ID)
	if l.Source == FromRoot && v.workload.IsSeparateTaskManager() {
		l.Source = FromJobManager
	}
	return l
}

// name is likewise.
func (v *Verdict) name(key string, owner map[string]string) Label {
	own := ""
	if name := v.workload.Identity.Name; name != "" {
		own = registry.LabelValue(name)
	}
	registered := ""
	if v.registered.Name != "" {
		registered = v.registered.Label()
	}
	return v.firstOf(key, owner[key], registered, own)
}

func (v *Verdict) firstOf(key, owner, registered, own string) Label {
	switch {
	case v.Reason == RunningJob && owner != "":
		return Label{key, owner, FromOwner}
	case registered != "":
		return Label{key, registered, FromRegistry}
	case own != "":
		return Label{key, own, FromRoot}
	}
	return Label{key, owner, FromOwner}
}
