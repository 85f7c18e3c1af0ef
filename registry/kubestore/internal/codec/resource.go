package codec

import (
	"encoding/json"

	jsonv2 "github.com/go-json-experiment/json"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"drey.dev/drey/registry"
	v1 "drey.dev/drey/registry/kubestore/v1"
)

// Object is a custom resource of any kind of drey's.
type Object interface {
	metav1.Object
	runtime.Object
}

// Resource describes a kind of custom resource.
type Resource struct {
	Kind   registry.Kind
	Plural string

	New     func() Object
	NewList func() runtime.Object
	// Status returns the part of the status that all kinds have.
	Status func(Object) *v1.Status
	// Target returns the reference to a target, by name or by id.
	Target func(Object) (name, id string)

	name    func(Object) string                                     // spec.name; "" if the kind has none
	spec    func(Object) (json.RawMessage, error)                   // with numbers in the API server's form
	setSpec func(o Object, name string, spec json.RawMessage) error // name is the name in REST
}

// Resources are the kinds of custom resources.
var Resources = map[registry.Kind]*Resource{
	registry.DeploymentTarget: {
		Kind: registry.DeploymentTarget, Plural: "deploymenttargets",
		New:     func() Object { return &v1.DeploymentTarget{} },
		NewList: func() runtime.Object { return &v1.DeploymentTargetList{} },
		name:    func(o Object) string { return o.(*v1.DeploymentTarget).Spec.Name },
		spec: func(o Object) (json.RawMessage, error) {
			return json.Marshal(registry.TargetSpec{Kubernetes: &registry.TargetKubernetes{Namespace: o.(*v1.DeploymentTarget).Spec.Kubernetes.Namespace}})
		},
		setSpec: func(o Object, name string, spec json.RawMessage) error {
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
		Status: func(o Object) *v1.Status { return &o.(*v1.DeploymentTarget).Status.Status },
		Target: func(Object) (string, string) { return "", "" },
	},
	registry.Deployment: {
		Kind: registry.Deployment, Plural: "deployments",
		New:     func() Object { return &v1.Deployment{} },
		NewList: func() runtime.Object { return &v1.DeploymentList{} },
		name:    func(Object) string { return "" },
		spec:    func(o Object) (json.RawMessage, error) { return o.(*v1.Deployment).Spec.MarshalJSON() },
		setSpec: func(o Object, _ string, spec json.RawMessage) error {
			return o.(*v1.Deployment).Spec.UnmarshalJSON(spec)
		},
		Status: func(o Object) *v1.Status { return &o.(*v1.Deployment).Status.Status },
		Target: func(o Object) (string, string) {
			s := o.(*v1.Deployment).Spec
			return s.DeploymentTargetName, s.DeploymentTargetID
		},
	},
	registry.SessionCluster: {
		Kind: registry.SessionCluster, Plural: "sessionclusters",
		New:     func() Object { return &v1.SessionCluster{} },
		NewList: func() runtime.Object { return &v1.SessionClusterList{} },
		name:    func(Object) string { return "" },
		spec:    func(o Object) (json.RawMessage, error) { return o.(*v1.SessionCluster).Spec.MarshalJSON() },
		setSpec: func(o Object, _ string, spec json.RawMessage) error {
			return o.(*v1.SessionCluster).Spec.UnmarshalJSON(spec)
		},
		Status: func(o Object) *v1.Status { return &o.(*v1.SessionCluster).Status.Status },
		Target: func(o Object) (string, string) {
			s := o.(*v1.SessionCluster).Spec
			return s.DeploymentTargetName, s.DeploymentTargetID
		},
	},
	registry.DeploymentDefaults: {
		Kind: registry.DeploymentDefaults, Plural: "deploymentdefaults",
		New:     func() Object { return &v1.DeploymentDefaults{} },
		NewList: func() runtime.Object { return &v1.DeploymentDefaultsList{} },
		name:    func(Object) string { return "" },
		spec:    func(o Object) (json.RawMessage, error) { return o.(*v1.DeploymentDefaults).Spec.MarshalJSON() },
		setSpec: func(o Object, _ string, spec json.RawMessage) error {
			return o.(*v1.DeploymentDefaults).Spec.UnmarshalJSON(spec)
		},
		Status: func(o Object) *v1.Status { return &o.(*v1.DeploymentDefaults).Status },
		Target: func(Object) (string, string) { return "", "" }, // they keep no target
	},
}
