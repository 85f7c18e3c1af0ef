package verdict

import "drey.dev/drey/webhook/flink"

// firm are the labels by which a running pod is found. Whatever is there stays
// while the pod lives; what is missing may come.
var firm = [...]string{
	LabelSystem, LabelPlatformNamespace, LabelDeploymentID, LabelDeploymentName, LabelJobID, LabelSessionClusterID, LabelSessionClusterName,
}

// DecideUpdate decides on a change to the pod of a workload whose labels were
// old. A pod on which drey has never been is none of its business; neither is an
// app that its maker chose. The caller keeps apart what is being deleted. Drey
// itself needs no exception: it only ever adds what is missing.
func DecideUpdate(w flink.Workload, old map[string]string) Verdict {
	v := Verdict{Allowed: true, Reason: NotConcerned, workload: w}
	if old[LabelSystem] != System {
		return v
	}
	for _, key := range firm {
		v.compare(key, old)
	}
	if app := old[LabelApp]; app == AppJob || app == AppSessionCluster {
		v.compare(LabelApp, old)
	}
	if len(v.was) > 0 {
		return v.deny(LabelImmutable)
	}
	return v
}

func (v *Verdict) compare(key string, old map[string]string) {
	before, was := old[key]
	after, is := v.workload.Object.Labels[key]
	if was && (!is || before != after) {
		v.was = append(v.was, Label{Key: key, Value: before})
	}
}
