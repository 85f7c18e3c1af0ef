package flink

import (
	"slices"
	"strings"
)

// Object is the part of a Kubernetes object that recognition reads: of a pod, of an object
// that creates pods, or of a Service or ConfigMap.
type Object struct {
	Kind            string // Pod; Deployment, StatefulSet, Job, CronJob; Service, ConfigMap; or a custom resource's
	Namespace       string
	Name            string // empty on a pod with a GenerateName, before it is stored
	GenerateName    string
	UID             string // empty before the object is stored
	Labels          map[string]string
	Annotations     map[string]string
	OwnerReferences []OwnerReference
	Pod             Pod // the pod itself, or the template

	PodLabelFields []LabelField // of a custom resource: the identity labels that it sets on its pods
	FromManifest   bool         // the object was applied from a file, by kubectl for example

	// TemplatePath is the path of the pod template in an object of another kind than those whose
	// template is at [TemplateLabelsPath]. A number is the index in a list.
	TemplatePath []string

	HeldAt string // the path of the object in another one that holds it; empty: it is an object by itself
}

// TemplateLabelsPath returns the path of the pod labels in the object.
func (o *Object) TemplateLabelsPath() []string {
	if o.TemplatePath != nil {
		return slices.Concat(o.TemplatePath, []string{"metadata", "labels"})
	}
	return TemplateLabelsPath(o.Kind)
}

// Pod is the part of a pod, or of a pod template, that recognition reads.
type Pod struct {
	Labels      map[string]string // of a pod: those of the object
	Annotations map[string]string // likewise
	Containers  []Container       // those that run: native sidecars included, other init containers not
	Volumes     []string          // names
}

// Container is the part of a container that recognition reads.
type Container struct {
	Name    string
	Image   string
	Command []string
	Args    []string
	Env     []string          // names
	Role    string            // the value of the variable ROLE
	Mode    string            // the value of the variable FLINK_MODE
	Starts  map[string]string // the values of other variables that may be a part of a start of Flink
	Sidecar bool              // an init container that runs as long as the pod
}

// RestartAlways is the restartPolicy of an init container that is a sidecar.
const RestartAlways = "Always"

// ReadVariable keeps the value of an environment variable if recognition reads it.
func (c *Container) ReadVariable(name, value string) {
	switch name {
	case "ROLE":
		c.Role = value
	case "FLINK_MODE":
		c.Mode = value
	}
	if MayStart(value) {
		if c.Starts == nil {
			c.Starts = map[string]string{}
		}
		c.Starts[name] = value
	}
}

// MayStart reports whether the value of an environment variable may be a part of a start of
// Flink: a role, or a command.
func MayStart(value string) bool {
	if len(value) > maxValue {
		return false
	}
	_, isRole := roles[value]
	return isRole || strings.Contains(value, ".sh") || strings.Contains(value, "org.apache.flink.")
}
