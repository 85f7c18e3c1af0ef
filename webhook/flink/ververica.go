package flink

// Ververica Platform 2.x sets the labels system=ververica-platform, app=flink-job or
// flink-session-cluster, and ids. Its other labels are not documented.

func isVerverica(_ *Object, e evidence) bool {
	return e.signals.hasAll(VervericaLabels)
}
