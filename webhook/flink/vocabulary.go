package flink

// Flavor is the tool or the kind of manifest that a workload comes from.
type Flavor string

// The flavors.
const (
	Native     Flavor = "native"     // Flink's native Kubernetes mode, by its client or its operator
	Standalone Flavor = "standalone" // Flink's operator with mode: standalone
	Docs       Flavor = "docs"       // the manifests of Flink's documentation, and similar ones
	Ververica  Flavor = "ververica"  // Ververica Platform, and other workloads with its labels
	Lyft       Flavor = "lyft"       // lyft's operator
	Statefun   Flavor = "statefun"   // Stateful Functions
	Custom     Flavor = "custom"     // a Flink custom resource, from which an operator creates one of the above
	Other      Flavor = "other"      // recognized by a strong signal, none of the above
)

// Mode is the deployment mode of a Flink cluster.
type Mode string

// The modes. The spec of a TaskManager often does not show its mode.
const (
	UnknownMode Mode = ""
	Application Mode = "application" // one job with the lifetime of the cluster
	Session     Mode = "session"     // any number of jobs
)

// Role is the role of a process in a Flink cluster.
type Role string

// The roles.
const (
	UnknownRole Role = ""
	JobManager  Role = "jobmanager"
	TaskManager Role = "taskmanager"
)

// Strength is the confidence that a workload is Flink's.
type Strength int

// The strengths. Drey denies and labels from Medium on.
const (
	None   Strength = iota
	Weak            // an image with flink in its name
	Medium          // several names that other products use too
	Strong          // a name that only Flink uses
)

// String returns none, weak, medium or strong.
func (s Strength) String() string {
	return [...]string{"none", "weak", "medium", "strong"}[s]
}

// The labels, values and names of Flink and its operators that recognition reads.
const (
	LabelType         = "type"
	TypeNative        = "flink-native-kubernetes"
	TypeStandalone    = "flink-standalone-kubernetes"
	LabelComponent    = "component"
	LabelName         = "app.kubernetes.io/name"
	LabelAppComponent = "app.kubernetes.io/component"
	NameFlink         = "flink"
	namePyFlink       = "pyflink"
	NameOperator      = "flink-kubernetes-operator"
	labelJobIDSpotify = "flinkoperator.k8s.io/job-id"
	LabelLyftApp      = "flink-app"
	LabelLyftType     = "flink-deployment-type"
	labelPodHash      = "pod-template-hash"
	MainContainerName = "flink-main-container"
	ConfigVolumeName  = "flink-config-volume"
	annotationMirror  = "kubernetes.io/config.mirror"
)
