package flink

import "strings"

// Native Kubernetes mode, of Flink itself and of its operator: every object has the labels
// app=<cluster-id>, component and type=flink-native-kubernetes. The JobManager creates its
// TaskManagers as pods that the JobManager's Deployment controls. Source: Flink's
// documentation, "Native Kubernetes".

func isNative(o *Object, e evidence) bool {
	return o.Pod.Labels[LabelType] == TypeNative || o.Pod.Labels[LabelType] == "" && e.signals.hasAll(EntryPoint) && e.native
}

func nativeName(w Workload, root Root) string {
	if w.clusterID != "" {
		return w.clusterID
	}
	labels := w.Object.Pod.Labels
	if app := labels[LabelApp]; labels[LabelType] == TypeNative && app != "" && app != AppJob && app != AppSessionCluster {
		return app
	}
	return root.Name
}

// madeByJobManager reports whether a native JobManager created a TaskManager pod: a Deployment
// controls it without a ReplicaSet, as none of Kubernetes' own controllers does.
func madeByJobManager(w *Workload) bool {
	ref, _ := PreferredOwner(w.Object.OwnerReferences)
	isDeployment := ref.Kind == "Deployment" && strings.HasPrefix(ref.APIVersion, "apps/")
	return w.Object.Kind == "Pod" && w.Flavor == Native && w.Role == TaskManager && isDeployment && ref.UID != ""
}
