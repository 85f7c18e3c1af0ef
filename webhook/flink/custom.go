package flink

// CustomResource is one of the kinds by which people ask an operator for Flink.
type CustomResource struct {
	Kind     string
	Group    string
	Version  string // one that every release of its operator serves
	Resource string
}

// CustomResources are all that drey knows: Flink's own, spotify's and lyft's.
var CustomResources = []CustomResource{
	{"FlinkDeployment", "flink.apache.org", "v1beta1", "flinkdeployments"},
	{"FlinkSessionJob", "flink.apache.org", "v1beta1", "flinksessionjobs"},
	{"FlinkBlueGreenDeployment", "flink.apache.org", "v1beta1", "flinkbluegreendeployments"},
	{"FlinkCluster", "flinkoperator.k8s.io", "v1beta1", "flinkclusters"},
	{"FlinkApplication", "flink.k8s.io", "v1beta1", "flinkapplications"},
}

var customResources = func() map[string]string {
	groups := make(map[string]string, len(CustomResources))
	for _, c := range CustomResources {
		groups[c.Kind] = c.Group
	}
	return groups
}()

// IsCustomResource tells whether a kind, in the group of an apiVersion, is one of
// [CustomResources].
func IsCustomResource(apiVersion, kind string) bool {
	return OwnerReference{APIVersion: apiVersion, Kind: kind}.isFlink()
}

// IsCustomKind tells the same of an [Object], which is of such a kind only if it is in
// its group.
func IsCustomKind(kind string) bool { return isCustomResource(kind) }

// ModeOf is how the cluster takes jobs that a custom resource describes; hasJob
// says whether it has one itself (spec.job, or spec.template.spec.job of a
// FlinkBlueGreenDeployment). With Flink's operator and spotify's a cluster without
// one is a session; lyft's has no sessions; and a FlinkSessionJob is a job in the
// cluster of another.
func ModeOf(kind string, hasJob bool) Mode {
	switch {
	case kind == "FlinkSessionJob":
		return UnknownMode
	case hasJob, kind == "FlinkApplication":
		return Application
	}
	return Session
}

// RecognizeCustom looks at a custom resource of Flink's: that it is one is
// enough. A FlinkSessionJob is a job in another's cluster, and has no mode of its
// own.
func RecognizeCustom(o *Object, mode Mode) Workload {
	w := Workload{Object: o, Flavor: Custom, Mode: mode, Strength: Strong, Signals: FlinkKind, Root: root(o)}
	w.Identity = Identity{ID: w.Root.UID, Name: w.clusterName()}
	return w
}
