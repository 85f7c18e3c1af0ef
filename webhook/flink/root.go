package flink

import "strings"

// Root is the topmost known owner of a workload, or the workload itself. Unknown fields are
// empty.
type Root struct {
	Kind string
	Name string
	UID  string
}

// rootOf returns the root by the owner references of an object. The name of a ReplicaSet
// gives that of its Deployment, without the UID. A Service or a ConfigMap is no root.
func rootOf(o *Object) Root {
	ref, ok := PreferredOwner(o.OwnerReferences)
	switch {
	case ok && ref.Kind == "ReplicaSet":
		return Root{Kind: "Deployment", Name: trimHash(ref.Name, o.Labels[labelPodHash])}
	case ok && (o.Kind == "Pod" || ref.isFlinkResource() || ref.makesPods()):
		return Root{Kind: ref.Kind, Name: ref.Name, UID: ref.UID}
	case o.Kind == "Pod", o.Kind == "Service", o.Kind == "ConfigMap":
		return Root{}
	default:
		return Root{Kind: o.Kind, Name: o.Name, UID: o.UID}
	}
}

// trimHash removes the pod template hash from the name of a ReplicaSet.
func trimHash(replicaSet, hash string) string {
	if hash != "" {
		if name, ok := strings.CutSuffix(replicaSet, "-"+hash); ok {
			return name
		}
	}
	if i := strings.LastIndexByte(replicaSet, '-'); i > 0 {
		return replicaSet[:i]
	}
	return replicaSet
}

// rootOwner returns the topmost Flink custom resource, else the topmost owner: the owner of a
// custom resource is the tool that installed it.
func rootOwner(owners []Owner) Owner {
	top := owners[len(owners)-1]
	for _, o := range owners {
		if o.isFlinkResource() {
			top = o
		}
	}
	return top
}

// clusterName returns the name of a root custom resource, else the cluster name by the rule
// of the flavor.
func (w Workload) clusterName() string {
	if IsCustomKind(w.Root.Kind) {
		return w.Root.Name
	}
	for _, f := range flavors {
		if f.flavor == w.Flavor {
			return f.clusterName(w, w.Root)
		}
	}
	return w.Root.Name
}
