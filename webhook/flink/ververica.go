package flink

// Ververica Platform 2.x labels its pods system=ververica-platform and
// app=flink-job or flink-session-cluster, with the ids beside them. Its
// other marks are not documented.

func isVerverica(_ *Object, e evidence) bool {
	return e.signals.has(VervericaLabels)
}
