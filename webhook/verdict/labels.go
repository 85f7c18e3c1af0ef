package verdict

import (
	"drey.dev/drey/registry"
	"drey.dev/drey/webhook/flink"
)

// label compares the labels that the workload should have with those that it
// has. A label without a source is left out; one that is there stays.
func (v *Verdict) label(w flink.Workload, platform string) {
	have := w.Object.Labels
	v.Add = make([]Label, 0, 6)
	for _, l := range wanted(w, platform) {
		switch value, ok := have[l.Key]; {
		case l.Value == "":
		case !ok:
			v.Add = append(v.Add, l)
		case value != l.Value:
			v.Kept = append(v.Kept, Label{l.Key, value})
		}
	}
}

// wanted is the identity table: where each label comes from. Whoever does not
// know its mode gets what both modes have in common.
func wanted(w flink.Workload, platform string) []Label {
	id, name := w.Identity.ID, registry.LabelValue(w.Identity.Name)
	if w.Identity.Name == "" {
		name = ""
	}
	if !registry.IsLabelValue(id) {
		id = ""
	}
	switch w.Mode {
	case flink.Application:
		job := w.Identity.JobID
		if !registry.IsLabelValue(job) {
			job = ""
		}
		return []Label{
			{LabelApp, AppJob}, {LabelSystem, System}, {LabelPlatformNamespace, platform},
			{LabelDeploymentID, id}, {LabelDeploymentName, name}, {LabelJobID, job},
		}
	case flink.Session:
		return []Label{
			{LabelApp, AppSessionCluster}, {LabelSystem, System}, {LabelPlatformNamespace, platform},
			{LabelSessionClusterID, id}, {LabelSessionClusterName, name},
		}
	default:
		return []Label{{LabelSystem, System}, {LabelPlatformNamespace, platform}}
	}
}
