package flink

import "strings"

// Flink's operator with mode: standalone sets the labels app=<name> and
// type=flink-standalone-kubernetes, and creates the Deployments <name> for the JobManager and
// <name>-taskmanager, both owned by the FlinkDeployment.

func isStandalone(o *Object, _ evidence) bool { return o.Pod.Labels[LabelType] == TypeStandalone }

func standaloneName(w Workload, root Root) string {
	if app := w.Object.Pod.Labels[LabelApp]; app != "" {
		return app
	}
	return strings.TrimSuffix(root.Name, "-taskmanager")
}
