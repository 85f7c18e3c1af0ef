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

// RecogniseCustom looks at a custom resource of Flink's: that it is one is
// enough. A FlinkSessionJob is a job in another's cluster, and has no mode of its
// own.
func RecogniseCustom(o *Object, mode Mode) Workload {
	w := Workload{Object: o, Flavour: Custom, Mode: mode, Strength: Strong, Signals: FlinkKind}
	w.Root = Root{Kind: o.Kind, Name: o.Name, UID: o.UID}
	w.Identity = Identity{ID: o.UID, Name: o.Name}
	if above, ok := owner(o.Owners); ok && above.isFlink() { // a FlinkBlueGreenDeployment's child
		w.Root = Root{Kind: above.Kind, Name: above.Name, UID: above.UID}
		w.Identity = Identity{ID: above.UID, Name: above.Name}
	}
	return w
}
