package verdict

import (
	"drey.dev/drey/registry"
	"drey.dev/drey/webhook/flink"
)

// setLabels compares the desired labels with those of the workload. A label without a value
// is left out; one that the workload has stays.
func (v *Verdict) setLabels() {
	have := v.workload.Object.Labels
	v.WrongMode = wrongModeLabels(v.workload, have)
	var buffer [7]Label
	v.Add = make([]Label, 0, len(buffer))
	for _, l := range v.desiredLabels(buffer[:0]) {
		l = v.fromTemplate(l)
		switch value, ok := have[l.Key]; {
		case l.Value == "", !registry.IsLabelValue(l.Value), v.workload.ExcludesLabel(l.Key):
		case !ok:
			v.Add = append(v.Add, l)
		case value != l.Value:
			v.Kept = append(v.Kept, Label{Key: l.Key, Value: value, Source: FromObject})
		}
	}
}

// wrongModeLabels returns the labels of the other mode on a pod whose spec shows its mode.
func wrongModeLabels(w flink.Workload, labels map[string]string) (all []Label) {
	if !w.ModeFromSpec || w.Object.Kind != "Pod" || labels[LabelSystem] != System {
		return nil
	}
	keys, app := []string{LabelSessionClusterID, LabelSessionClusterName}, AppJob
	if w.Mode == flink.Session {
		keys, app = []string{LabelDeploymentID, LabelDeploymentName, LabelJobID}, AppSessionCluster
	}
	for _, key := range keys {
		if value, ok := labels[key]; ok {
			all = append(all, Label{Key: key, Value: value})
		}
	}
	if value, ok := labels[LabelKind]; ok && value != app {
		all = append(all, Label{Key: LabelKind, Value: value})
	}
	return all
}

// fromTemplate returns the id or name that the pod template of a controller sets, else the
// label itself: a controller has the same id and name as its pods.
func (v *Verdict) fromTemplate(l Label) Label {
	o := v.workload.Object
	switch o.Kind {
	case "Pod", "Service", "ConfigMap":
		return l
	}
	switch l.Key {
	case LabelDeploymentID, LabelDeploymentName, LabelSessionClusterID, LabelSessionClusterName:
		if value := o.Pod.Labels[l.Key]; value != "" && registry.IsLabelValue(value) {
			return Label{l.Key, value, FromObject}
		}
	}
	return l
}

// desiredLabels appends the labels that a workload of its mode should have; without a mode,
// the labels that both modes share. Values may be empty.
func (v *Verdict) desiredLabels(list []Label) []Label {
	list = append(list, Label{LabelApp, "", FromMode}, Label{LabelKind, "", FromMode}, Label{LabelSystem, System, Constant}, Label{LabelPlatformNamespace, v.platform.name, v.platform.source})
	switch v.workload.Mode {
	case flink.Application:
		list[0].Value, list[1].Value = AppJob, AppJob
		list = append(list, v.id(LabelDeploymentID), v.name(LabelDeploymentName))
		if v.workload.Object.Kind == "Pod" { // other objects outlive the job: an upgrade starts one with another id
			list = append(list, Label{LabelJobID, v.workload.Identity.JobID, FromJob})
		}
	case flink.Session:
		list[0].Value, list[1].Value = AppSessionCluster, AppSessionCluster
		list = append(list, v.id(LabelSessionClusterID), v.name(LabelSessionClusterName))
	}
	return list
}

// id returns the id label: the id of the registered object, else the UID of the root.
func (v *Verdict) id(key string) Label {
	l := v.firstOf(key, v.registered.ID, v.workload.Identity.ID)
	if l.Source == FromRoot && v.workload.IsSeparateTaskManager() {
		l.Source = FromJobManager
	}
	return l
}

// name returns the name label: the name of the registered object, else the cluster's.
func (v *Verdict) name(key string) Label {
	own := ""
	if name := v.workload.Identity.Name; name != "" {
		own = registry.LabelValue(name)
	}
	registered := ""
	if v.registered.Name != "" {
		registered = v.registered.Label()
	}
	return v.firstOf(key, registered, own)
}

// firstOf returns the first value that is known. The label of an admitted owner comes first
// for a running job without a target, and last otherwise, in place of a failed lookup.
func (v *Verdict) firstOf(key, registered, own string) Label {
	owner := v.owner[key]
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
