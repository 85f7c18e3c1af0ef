package flink

import "strings"

// Native Kubernetes mode (Flink's Native Kubernetes documentation; its operator
// uses the same): every object is labeled app=<cluster-id>, component and
// type=flink-native-kubernetes, and the JobManager's process makes its
// TaskManagers as bare pods that the JobManager's Deployment controls.

func isNative(o *Object, e evidence) bool {
	return o.Pod.Labels[labelType] == typeNative ||
		o.Pod.Labels[labelType] == "" && e.signals.has(EntryPoint) && runsNativeScript(o)
}

func nativeName(o *Object, root Root) string {
	if id := clusterIDProperty(o); id != "" {
		return id
	}
	if app := o.Pod.Labels[labelApp]; o.Pod.Labels[labelType] == typeNative && app != "" && app != appJob && app != appSession {
		return app
	}
	return root.Name
}

func runsNativeScript(o *Object) bool {
	for word := range o.Pod.words() {
		if strings.Contains(word, scriptJobManager) || strings.Contains(word, scriptTaskManager) {
			return true
		}
	}
	return false
}

// clusterIDProperty is the cluster id on a command line, "" if it is not there.
func clusterIDProperty(o *Object) string {
	for word := range o.Pod.words() {
		if _, after, ok := strings.Cut(word, "-Dkubernetes.cluster-id="); ok {
			id, _, _ := strings.Cut(after, " ")
			return strings.Trim(id, `'"`)
		}
	}
	return ""
}

// madeByJobManager holds for a native TaskManager pod: a Deployment controls
// it, without a ReplicaSet between, which no controller of Kubernetes does.
func madeByJobManager(w *Workload) bool {
	return w.Object.Kind == "Pod" && w.Flavor == Native && w.Role == TaskManager && w.Root.Kind == "Deployment" && w.Root.UID != ""
}
