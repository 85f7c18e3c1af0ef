package flink

// lyft's operator labels what it makes flink-app=<the FlinkApplication's name>
// and flink-deployment-type=jobmanager or taskmanager. Its Deployments carry a
// hash of the job's version in their names, so the label names the cluster.

func isLyft(_ *Object, e evidence) bool { return e.signals.has(LyftLabels) }

func lyftName(w Workload, _ Root) string { return w.Object.Pod.Labels[labelLyftApp] }
