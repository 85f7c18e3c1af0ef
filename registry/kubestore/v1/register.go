package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the API group and version of the types.
var GroupVersion = schema.GroupVersion{Group: "drey.dev", Version: "v1"}

// AddToScheme adds the types to a scheme.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion,
		&DeploymentTarget{}, &DeploymentTargetList{},
		&Deployment{}, &DeploymentList{},
		&SessionCluster{}, &SessionClusterList{},
		&DeploymentDefaults{}, &DeploymentDefaultsList{},
	)
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}
