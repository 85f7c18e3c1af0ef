package flink

import "strings"

// Native Kubernetes mode (Flink's Native Kubernetes documentation; its operator
// uses the same): every object is labeled app=<cluster-id>, component and
// type=flink-native-kubernetes, and the JobManager's process makes its
// TaskManagers as bare pods that the JobManager's Deployment controls.

func isNative(o *Object, e evidence) bool {
	return o.Pod.Labels[labelType] == typeNative || o.Pod.Labels[labelType] == "" && e.signals.has(EntryPoint) && e.native
}

func nativeName(w Workload, root Root) string {
	if w.clusterID != "" {
		return w.clusterID
	}
	labels := w.Object.Pod.Labels
	if app := labels[LabelApp]; labels[labelType] == typeNative && app != "" && app != AppJob && app != AppSessionCluster {
		return app
	}
	return root.Name
}

// madeByJobManager holds for a native TaskManager pod: a Deployment controls
// it, without a ReplicaSet between, which no controller of Kubernetes does.
func madeByJobManager(w *Workload) bool {
	owner, _ := owner(w.Object.OwnerReferences)
	return w.Object.Kind == "Pod" && w.Flavor == Native && w.Role == TaskManager && isDeployment(owner.APIVersion, owner.Kind) && owner.UID != ""
}

func isDeployment(apiVersion, kind string) bool {
	return kind == "Deployment" && strings.HasPrefix(apiVersion, "apps/")
}
