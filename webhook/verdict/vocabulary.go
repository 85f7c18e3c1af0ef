package verdict

// Labels that drey adds, in the words of Ververica Platform. [LabelKind] has the
// value of [LabelApp] under a key of drey's own, since Flink's app is a selector and
// stays: by it all jobs, or all session clusters, are found.
const (
	LabelKind               = "drey.dev/app"
	LabelApp                = "app"
	LabelSystem             = "system"
	LabelPlatformNamespace  = "vvpNamespace"
	LabelDeploymentID       = "deploymentId"
	LabelDeploymentName     = "deploymentName"
	LabelJobID              = "jobId"
	LabelSessionClusterID   = "sessionClusterId"
	LabelSessionClusterName = "sessionClusterName"
)

// Values of [LabelApp], [LabelKind] and [LabelSystem].
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
	NotFlink           Reason = "NotFlink"           // no Flink workload: left alone
	InsufficientSignal Reason = "InsufficientSignal" // perhaps Flink, not surely: left alone
	HasTarget          Reason = "HasTarget"          // its namespace has a target
	RunningJob         Reason = "RunningJob"         // no target any more, but it belongs to what was admitted, or is a TaskManager of a job that runs
	LabelsRestored     Reason = "LabelsRestored"     // an update has forgotten labels of what was admitted: they stay
	NotApplicable      Reason = "NotApplicable"      // drey does not decide on such a request
	ExcludedNamespace  Reason = "ExcludedNamespace"  // drey leaves all of this namespace alone
)

// The reasons to deny.
const (
	NoDeploymentTarget Reason = "NoDeploymentTarget"
	AmbiguousTarget    Reason = "AmbiguousTarget"
	LabelConflict      Reason = "LabelConflict"  // it claims what is another's
	LabelImmutable     Reason = "LabelImmutable" // an update changes a label by which the pod is known
)

// Source says where the value of a label comes from.
type Source string

// The sources.
const (
	Constant       Source = "constant"   // the same for all of Flink
	FromMode       Source = "mode"       // an application or a session
	FromStatement  Source = "stated"     // by the workload itself
	FromTarget     Source = "target"     // the only platform namespace with a target in the namespace
	FromRegistry   Source = "registered" // the Deployment or SessionCluster in the registry
	FromOwner      Source = "owner"      // an owner that was admitted
	FromJobManager Source = "jobmanager" // the workload of the cluster's JobManager
	FromRoot       Source = "root"       // the root owner, or what the flavor calls the cluster
	FromJob        Source = "job"        // --job-id, the custom resource's status, or another operator's label
)
