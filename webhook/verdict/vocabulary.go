package verdict

// Labels that drey adds, in the words of Ververica Platform.
const (
	LabelApp                = "app"
	LabelSystem             = "system"
	LabelPlatformNamespace  = "vvpNamespace"
	LabelDeploymentID       = "deploymentId"
	LabelDeploymentName     = "deploymentName"
	LabelJobID              = "jobId"
	LabelSessionClusterID   = "sessionClusterId"
	LabelSessionClusterName = "sessionClusterName"
)

// Values of [LabelApp] and [LabelSystem].
const (
	AppJob            = "flink-job"
	AppSessionCluster = "flink-session-cluster"
	System            = "ververica-platform"
)

// Reason is one word for a verdict: the closed list that metrics, audit
// annotations and documents use.
type Reason string

// The reasons to allow.
const (
	NotFlink          Reason = "NotFlink"          // no Flink workload: left alone
	WeakSignal        Reason = "WeakSignal"        // perhaps Flink, not surely: left alone
	HasTarget         Reason = "HasTarget"         // its namespace has a target
	RunningJob        Reason = "RunningJob"        // no target, but a TaskManager of a job that runs
	NotConcerned      Reason = "NotConcerned"      // drey does not decide on such a request
	ExcludedNamespace Reason = "ExcludedNamespace" // drey leaves all of this namespace alone
)

// The reasons to deny.
const (
	NoDeploymentTarget Reason = "NoDeploymentTarget"
	AmbiguousTarget    Reason = "AmbiguousTarget"
)
