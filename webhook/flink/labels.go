package flink

// The labels of Ververica Platform, which identify a workload, and drey's own. They are
// spelled here alone: packages that write or select them use these constants.
const (
	LabelKind               = "drey.dev/app" // the value of LabelApp under a key that is no selector
	LabelApp                = "app"
	LabelSystem             = "system"
	LabelPlatformNamespace  = "vvpNamespace"
	LabelDeploymentID       = "deploymentId"
	LabelDeploymentName     = "deploymentName"
	LabelJobID              = "jobId"
	LabelSessionClusterID   = "sessionClusterId"
	LabelSessionClusterName = "sessionClusterName"
)

// The values of [LabelApp] and [LabelKind], and that of [LabelSystem].
const (
	AppJob            = "flink-job"
	AppSessionCluster = "flink-session-cluster"
	System            = "ververica-platform"
)
