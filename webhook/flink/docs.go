package flink

import "strings"

// The YAML of Flink's documentation ("Kubernetes setup", standalone): app is
// flink for every cluster, component says the role, the containers are called
// jobmanager and taskmanager and run the image's entry point script with
// jobmanager, standalone-job or taskmanager. JobManagers come from a
// Deployment (session) or a Job (application), TaskManagers from a Deployment
// or a StatefulSet. Charts and hand-made YAML are mostly like it.

//
// It must be recognized without Ververica Platform's labels, which drey itself
// adds: an object's flavor and name stay the same once it is labeled.

func isDocs(_ *Object, e evidence) bool {
	return e.signals.some(roleSignals) && (e.signals&^VervericaLabels).strength() >= Medium
}

// docsName is what the two halves of a cluster have in common.
func docsName(_ *Object, root Root) string {
	for _, suffix := range []string{"-jobmanager", "-taskmanager"} {
		if name, ok := strings.CutSuffix(root.Name, suffix); ok && name != "" {
			return name
		}
	}
	return root.Name
}
