package kubestore

import (
	"encoding/json"

	jsonv2 "github.com/go-json-experiment/json"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"drey.dev/drey/registry"
	v1 "drey.dev/drey/registry/kubestore/v1"
)

// object is a custom resource of ours, of any kind.
type object interface {
	metav1.Object
	runtime.Object
}

// resource is what the store has to know of a kind.
type resource struct {
	kind   registry.Kind
	plural string

	empty     func() object
	emptyList func() runtime.Object

	// name is the name in REST, if the spec says one.
	name func(object) string
	// spec returns the spec as REST shows it, but for its numbers.
	spec func(object) (json.RawMessage, error)
	// setSpec is its opposite. name is that in REST.
	setSpec func(o object, name string, spec json.RawMessage) error
	// status returns the part of the status that all kinds have.
	status func(object) *v1.Status
	// target returns the target that an object of the kind names, by its name
	// or its id.
	target func(object) (name, id string)
}

var resources = map[registry.Kind]*resource{
	registry.DeploymentTarget: {
		kind: registry.DeploymentTarget, plural: "deploymenttargets",
		empty:     func() object { return &v1.DeploymentTarget{} },
		emptyList: func() runtime.Object { return &v1.DeploymentTargetList{} },
		name:      func(o object) string { return o.(*v1.DeploymentTarget).Spec.Name },
		spec: func(o object) (json.RawMessage, error) {
			return json.Marshal(registry.TargetSpec{Kubernetes: &registry.TargetKubernetes{Namespace: o.(*v1.DeploymentTarget).Spec.Kubernetes.Namespace}})
		},
		setSpec: func(o object, name string, spec json.RawMessage) error {
			var s registry.TargetSpec
			if err := jsonv2.Unmarshal(spec, &s, jsonv2.RejectUnknownMembers(true)); err != nil {
				return err
			}
			t := o.(*v1.DeploymentTarget)
			if t.Name != name {
				t.Spec.Name = name
			}
			if s.Kubernetes != nil {
				t.Spec.Kubernetes.Namespace = s.Kubernetes.Namespace
			}
			return nil
		},
		status: func(o object) *v1.Status { return &o.(*v1.DeploymentTarget).Status.Status },
		target: func(object) (string, string) { return "", "" },
	},
	registry.Deployment: {
		kind: registry.Deployment, plural: "deployments",
		empty:     func() object { return &v1.Deployment{} },
		emptyList: func() runtime.Object { return &v1.DeploymentList{} },
		name:      func(object) string { return "" },
		spec:      func(o object) (json.RawMessage, error) { return o.(*v1.Deployment).Spec.MarshalJSON() },
		setSpec: func(o object, _ string, spec json.RawMessage) error {
			return o.(*v1.Deployment).Spec.UnmarshalJSON(spec)
		},
		status: func(o object) *v1.Status { return &o.(*v1.Deployment).Status },
		target: func(o object) (string, string) {
			s := o.(*v1.Deployment).Spec
			return s.DeploymentTargetName, s.DeploymentTargetID
		},
	},
	registry.SessionCluster: {
		kind: registry.SessionCluster, plural: "sessionclusters",
		empty:     func() object { return &v1.SessionCluster{} },
		emptyList: func() runtime.Object { return &v1.SessionClusterList{} },
		name:      func(object) string { return "" },
		spec:      func(o object) (json.RawMessage, error) { return o.(*v1.SessionCluster).Spec.MarshalJSON() },
		setSpec: func(o object, _ string, spec json.RawMessage) error {
			return o.(*v1.SessionCluster).Spec.UnmarshalJSON(spec)
		},
		status: func(o object) *v1.Status { return &o.(*v1.SessionCluster).Status },
		target: func(o object) (string, string) {
			s := o.(*v1.SessionCluster).Spec
			return s.DeploymentTargetName, s.DeploymentTargetID
		},
	},
}
