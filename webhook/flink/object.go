package flink

import "strings"

// Object is what recognition reads of a Kubernetes object: a pod, or something
// that makes pods.
type Object struct {
	Kind            string // Pod; Deployment, StatefulSet, Job, CronJob; Service, ConfigMap; or a custom resource's
	Namespace       string
	Name            string // empty on a pod that only has a GenerateName yet
	GenerateName    string
	UID             string // empty before the object is stored
	Labels          map[string]string
	Annotations     map[string]string
	OwnerReferences []OwnerReference
	Pod             Pod // the pod itself, or the template

	PodLabelFields []LabelField // of a custom resource: where it states labels of its pods
	FromManifest   bool         // kubectl or the like wrote it, from a file
}

// Pod is the part of a pod, or of a template, that shows what runs in it.
type Pod struct {
	Labels      map[string]string // for a pod: the object's own
	Annotations map[string]string // likewise
	Containers  []Container
	Volumes     []string // their names
}

// Container is the part of a container that shows what runs in it.
type Container struct {
	Name    string
	Image   string
	Command []string
	Args    []string
	Env     []string // the names
	Role    string   // the value of the variable ROLE
	Mode    string   // the value of the variable FLINK_MODE
}

// Owner is an owner reference.
type OwnerReference struct {
	APIVersion string
	Kind       string
	Name       string
	UID        string
	Controller bool
}

func (o OwnerReference) isFlink() bool {
	group, _, _ := strings.Cut(o.APIVersion, "/")
	want, ok := customResources[o.Kind]
	return ok && group == want
}

// Root is the topmost object that is known to own a workload. Fields that the
// objects at hand do not show are empty.
type Root struct {
	Kind string
	Name string
	UID  string
}

// root follows the owner references of the object itself. A ReplicaSet's name
// gives its Deployment's, and not the uid. What makes pods is a root itself if
// nothing that drey knows owns it; a Service or a ConfigMap is none.
func root(o *Object) Root {
	owner, ok := owner(o.OwnerReferences)
	switch {
	case ok && owner.Kind == "ReplicaSet":
		return Root{Kind: "Deployment", Name: deploymentOf(owner.Name, o.Labels[labelPodHash])}
	case ok && (o.Kind == "Pod" || owner.isFlink() || owner.makesPods()):
		return Root{Kind: owner.Kind, Name: owner.Name, UID: owner.UID}
	case o.Kind == "Pod", o.Kind == "Service", o.Kind == "ConfigMap":
		return Root{}
	default:
		return Root{Kind: o.Kind, Name: o.Name, UID: o.UID}
	}
}

// makesPods holds for what Kubernetes itself turns into pods.
func (o OwnerReference) makesPods() bool {
	group, _, _ := strings.Cut(o.APIVersion, "/")
	switch o.Kind {
	case "Deployment", "StatefulSet":
		return group == "apps"
	case "Job", "CronJob":
		return group == "batch"
	}
	return false
}

// owner prefers a Flink custom resource, which does not control what it owns,
// over the controller.
func owner(owners []OwnerReference) (OwnerReference, bool) {
	for _, o := range owners {
		if o.isFlink() {
			return o, true
		}
	}
	return ControllerOf(owners)
}

// Controller is the owner reference of the controller, which at most one is.
func ControllerOf(owners []OwnerReference) (OwnerReference, bool) {
	for _, o := range owners {
		if o.Controller {
			return o, true
		}
	}
	return OwnerReference{}, false
}

// deploymentOf cuts the pod template's hash off a ReplicaSet's name.
func deploymentOf(replicaSet, hash string) string {
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
