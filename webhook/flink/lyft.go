package flink

// lyft's operator sets the labels flink-app, to the name of the FlinkApplication, and
// flink-deployment-type, to jobmanager or taskmanager. The names of its Deployments contain a
// hash of the job's version, so the cluster name is that of the label.

func isLyft(_ *Object, e evidence) bool { return e.signals.hasAll(LyftLabels) }

func lyftName(w Workload, _ Root) string { return w.Object.Pod.Labels[LabelLyftApp] }
