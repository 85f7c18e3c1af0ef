package flink

import "strings"

// The manifests of Flink's documentation ("Kubernetes", standalone), most charts and manifests
// written by hand: app is flink for every cluster, component is the role, and containers named
// jobmanager and taskmanager run the entry point of the image with jobmanager, standalone-job
// or taskmanager. Some run Flink's scripts or classes directly. JobManagers come from a
// Deployment (session) or a Job (application), TaskManagers from a Deployment or a StatefulSet.
//
// The labels of Ververica Platform do not count, since drey adds them: the flavor and the name
// of an object stay the same once it is labeled.

func isDocs(_ *Object, e evidence) bool {
	return e.signals.hasAny(roleSignals|EntryPoint) && (e.signals&^VervericaLabels).strength() >= Medium
}

// docsName returns the name of the root without the suffix of its role.
func docsName(_ Workload, root Root) string {
	return clusterOf(root.Name, "-jobmanager", "-taskmanager", "-job-manager", "-task-manager", "-job-cluster")
}

// clusterOf removes the suffix of a role from a name.
func clusterOf(name string, suffixes ...string) string {
	for _, suffix := range suffixes {
		if cluster, ok := strings.CutSuffix(name, suffix); ok && cluster != "" {
			return cluster
		}
	}
	return name
}
