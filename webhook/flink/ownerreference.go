package flink

import "strings"

// OwnerReference is an owner reference in the metadata of an object.
type OwnerReference struct {
	APIVersion string
	Kind       string
	Name       string
	UID        string
	Controller bool
}

// PreferredOwner returns the owner reference that leads to the root: one to a Flink custom
// resource, which need not be the controller, else that of the controller.
func PreferredOwner(refs []OwnerReference) (OwnerReference, bool) {
	for _, ref := range refs {
		if ref.isFlinkResource() {
			return ref, true
		}
	}
	return ControllerOf(refs)
}

// ControllerOf returns the owner reference of the controller.
func ControllerOf(refs []OwnerReference) (OwnerReference, bool) {
	for _, ref := range refs {
		if ref.Controller {
			return ref, true
		}
	}
	return OwnerReference{}, false
}

// DeploymentOf returns the name of the Deployment of a ReplicaSet, whose name is
// <deployment>-<pod-template-hash>. ok is false if no Deployment created the ReplicaSet.
func DeploymentOf(replicaSet string, podLabels map[string]string) (name string, ok bool) {
	hash := podLabels[labelPodHash]
	if hash == "" {
		return "", false
	}
	name, ok = strings.CutSuffix(replicaSet, "-"+hash)
	return name, ok && name != ""
}

// isFlinkResource reports whether a reference is to one of [CustomResources].
func (r OwnerReference) isFlinkResource() bool {
	group, ok := customResourceGroups[r.Kind]
	return ok && group == r.group()
}

// makesPods reports whether a reference is to an object from which Kubernetes creates pods,
// directly or through a Job.
func (r OwnerReference) makesPods() bool {
	switch r.Kind {
	case "Deployment", "StatefulSet":
		return r.group() == "apps"
	case "Job", "CronJob":
		return r.group() == "batch"
	}
	return false
}

func (r OwnerReference) group() string {
	group, _, _ := strings.Cut(r.APIVersion, "/")
	return group
}
