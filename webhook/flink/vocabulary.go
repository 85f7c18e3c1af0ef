package flink

// Flavor is what made a workload, as far as its shape shows.
type Flavor string

// The flavors.
const (
	Native     Flavor = "native"     // Flink's own Kubernetes integration, by hand or by its operator
	Standalone Flavor = "standalone" // Flink's operator with mode: standalone
	Docs       Flavor = "docs"       // the YAML of Flink's documentation, and what is like it
	Ververica  Flavor = "ververica"  // Ververica Platform, and whatever carries its labels
	Lyft       Flavor = "lyft"       // lyft's operator
	Statefun   Flavor = "statefun"   // Stateful Functions
	Custom     Flavor = "custom"     // a custom resource of Flink's, which an operator turns into one of the above
	Other      Flavor = "other"      // Flink by a strong signal, of a shape that none of the above has
)

// Mode is how a Flink cluster takes jobs.
type Mode string

// The modes. A TaskManager often does not show its own.
const (
	UnknownMode Mode = ""
	Application Mode = "application" // one job, which lives and dies with the cluster
	Session     Mode = "session"     // jobs come and go
)

// Role is what a process does in a Flink cluster.
type Role string

// The roles.
const (
	UnknownRole Role = ""
	JobManager  Role = "jobmanager"
	TaskManager Role = "taskmanager"
)

// Strength says how sure it is that a workload is Flink's.
type Strength int

// The strengths. Weak is never enough to deny or to label.
const (
	None   Strength = iota
	Weak            // an image with flink in its name
	Medium          // words that other products use too, several together
	Strong          // something that only Flink has
)

// String is one word for it.
func (s Strength) String() string {
	return [...]string{"none", "weak", "medium", "strong"}[s]
}

// The labels and values that Flink and its operators write, and that
// recognition reads.
const (
	labelType         = "type"
	typeNative        = "flink-native-kubernetes"
	typeStandalone    = "flink-standalone-kubernetes"
	labelComponent    = "component"
	labelName         = "app.kubernetes.io/name"
	labelAppComponent = "app.kubernetes.io/component"
	nameFlink         = "flink"
	nameOperator      = "flink-kubernetes-operator"
	labelJobIDSpotify = "flinkoperator.k8s.io/job-id"
	labelLyftApp      = "flink-app"
	labelLyftType     = "flink-deployment-type"
	labelPodHash      = "pod-template-hash"
	mainContainer     = "flink-main-container"
	configVolume      = "flink-config-volume"
	annotationMirror  = "kubernetes.io/config.mirror"
)
