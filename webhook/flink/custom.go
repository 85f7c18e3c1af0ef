package flink

// CustomResource is a kind of custom resource from which an operator creates Flink clusters
// or jobs.
type CustomResource struct {
	Kind     string
	Group    string
	Version  string // one that every release of its operator serves
	Resource string
}

// CustomResources are the kinds of Flink's, spotify's and lyft's operators.
var CustomResources = []CustomResource{
	{"FlinkDeployment", "flink.apache.org", "v1beta1", "flinkdeployments"},
	{"FlinkSessionJob", "flink.apache.org", "v1beta1", "flinksessionjobs"},
	{"FlinkBlueGreenDeployment", "flink.apache.org", "v1beta1", "flinkbluegreendeployments"},
	{"FlinkCluster", "flinkoperator.k8s.io", "v1beta1", "flinkclusters"},
	{"FlinkApplication", "flink.k8s.io", "v1beta1", "flinkapplications"},
}

// customResourceGroups has the group of each kind in [CustomResources].
var customResourceGroups = func() map[string]string {
	groups := make(map[string]string, len(CustomResources))
	for _, c := range CustomResources {
		groups[c.Kind] = c.Group
	}
	return groups
}()

// IsCustomResource reports whether a kind, in the group of an apiVersion, is one of
// [CustomResources].
func IsCustomResource(apiVersion, kind string) bool {
	return OwnerReference{APIVersion: apiVersion, Kind: kind}.isFlinkResource()
}

// IsCustomKind reports whether the kind of an [Object] is one of [CustomResources]. An Object
// has such a kind only if its group is right.
func IsCustomKind(kind string) bool {
	_, ok := customResourceGroups[kind]
	return ok
}

// ModeOf returns the mode of the cluster that a custom resource describes. hasJob reports
// whether it has spec.job, or spec.template.spec.job of a FlinkBlueGreenDeployment. A cluster
// without a job is a session cluster, except lyft's, which are all applications. A
// FlinkSessionJob is a job in another cluster, and has no mode.
func ModeOf(kind string, hasJob bool) Mode {
	switch {
	case kind == "FlinkSessionJob":
		return UnknownMode
	case hasJob, kind == "FlinkApplication":
		return Application
	}
	return Session
}

// RecognizeCustom returns the workload of a custom resource, which is Flink's by its kind.
func RecognizeCustom(o *Object, mode Mode) Workload {
	w := Workload{Object: o, Flavor: Custom, Mode: mode, Strength: Strong, Signals: FlinkKind, Root: rootOf(o)}
	w.Identity = Identity{ID: w.Root.UID, Name: w.clusterName()}
	return w
}
