package flink

import "strings"

// The YAML of Flink's documentation ("Kubernetes setup", standalone): app is
// flink for every cluster, component says the role, the containers are called
// jobmanager and taskmanager and run the image's entry point script with
// jobmanager, standalone-job or taskmanager. JobManagers come from a
// Deployment (session) or a Job (application), TaskManagers from a Deployment
// or a StatefulSet. Charts and hand-made YAML are mostly like it, and some start Flink's
// scripts or classes themselves.
//
// It is recognized without Ververica Platform's labels, which drey itself adds: an
// object's flavor and name stay the same once it is labeled.

func isDocs(_ *Object, e evidence) bool {
	return e.signals.some(roleSignals|EntryPoint) && (e.signals&^VervericaLabels).strength() >= Medium
}

// docsName is what the two halves of a cluster have in common.
func docsName(_ Workload, root Root) string {
	return clusterOf(root.Name, "-jobmanager", "-taskmanager", "-job-manager", "-task-manager", "-job-cluster")
}

// clusterOf cuts the suffix of a role off a name.
func clusterOf(name string, suffixes ...string) string {
	for _, suffix := range suffixes {
		if cluster, ok := strings.CutSuffix(name, suffix); ok && cluster != "" {
			return cluster
		}
	}
	return name
}
