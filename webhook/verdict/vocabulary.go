package verdict

import "drey.dev/drey/webhook/flink"

// The labels that drey adds, as Ververica Platform names them. [LabelKind] has the value of
// [LabelApp]: Flink's own manifests use app as a selector with another value, which drey
// keeps, so drey.dev/app is the key that selects all jobs or all session clusters.
const (
	LabelKind               = flink.LabelKind
	LabelApp                = flink.LabelApp
	LabelSystem             = flink.LabelSystem
	LabelPlatformNamespace  = flink.LabelPlatformNamespace
	LabelDeploymentID       = flink.LabelDeploymentID
	LabelDeploymentName     = flink.LabelDeploymentName
	LabelJobID              = flink.LabelJobID
	LabelSessionClusterID   = flink.LabelSessionClusterID
	LabelSessionClusterName = flink.LabelSessionClusterName
)

// Values of [LabelApp], [LabelKind] and [LabelSystem].
const (
	AppJob            = flink.AppJob
	AppSessionCluster = flink.AppSessionCluster
	System            = flink.System
)

// Reason is the cause of a verdict: one of a closed list, which metrics and audit
// annotations use.
type Reason string

// The reasons to allow.
const (
	NotFlink           Reason = "NotFlink"           // not a Flink workload
	InsufficientSignal Reason = "InsufficientSignal" // too few signals to treat it as Flink
	HasTarget          Reason = "HasTarget"          // its namespace has a target
	RunningJob         Reason = "RunningJob"         // no target left, but it belongs to an admitted workload or is a TaskManager of a running job
	LabelsRestored     Reason = "LabelsRestored"     // an update removed labels of an admitted workload, and drey added them again
	LabelReset         Reason = "LabelReset"         // a write of a namespace set or removed its registered label, and drey reset it
	NotApplicable      Reason = "NotApplicable"      // no rule applies to the request
	ExcludedNamespace  Reason = "ExcludedNamespace"  // drey does not serve the namespace
)

// The reasons to deny.
const (
	NoDeploymentTarget Reason = "NoDeploymentTarget" // its namespace has no target
	AmbiguousTarget    Reason = "AmbiguousTarget"    // targets of several platform namespaces, and none is selected
	LabelConflict      Reason = "LabelConflict"      // a label identifies another object or platform namespace
	LabelImmutable     Reason = "LabelImmutable"     // an update changes a label that identifies a running pod
)

// Source is the origin of a label's value.
type Source string

// The sources.
const (
	Constant       Source = "constant"   // the same for all Flink workloads
	FromMode       Source = "mode"       // application or session
	FromObject     Source = "stated"     // set on the workload
	FromTarget     Source = "target"     // the only platform namespace with a target for the namespace
	FromRegistry   Source = "registered" // the Deployment or SessionCluster in the registry
	FromOwner      Source = "owner"      // the labels of an admitted owner
	FromJobManager Source = "jobmanager" // the workload of the cluster's JobManager
	FromRoot       Source = "root"       // the root owner, or the cluster name of the flavor
	FromJob        Source = "job"        // --job-id, the status of the custom resource, or the label of another operator
)
