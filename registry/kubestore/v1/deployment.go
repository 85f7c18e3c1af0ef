package v1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Deployment is a Flink application, as a client of the REST API describes it. In
// kubectl it is deployments.drey.dev or vdep, unlike Deployments of apps/v1.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=vdep,categories=drey
// +kubebuilder:printcolumn:name="Target",type=string,JSONPath=`.spec.deploymentTargetName`
// +kubebuilder:printcolumn:name="Desired",type=string,JSONPath=`.spec.state`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="ID",type=string,priority=1,JSONPath=`.status.id`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[0-9a-z]([0-9a-z-]{0,61}[0-9a-z])?$')",message="metadata.name is also the name in the REST API: use 1 to 63 characters of 0-9, a-z and hyphen, with no hyphen at either end"
type Deployment struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is any object of the client. Drey reads its references.
	//
	// +required
	// +kubebuilder:pruning:PreserveUnknownFields
	Spec DeploymentSpec `json:"spec"`

	// Status is the observed state, written by drey.
	//
	// +optional
	Status WorkloadStatus `json:"status,omitzero"`
}

// DeploymentSpec is the spec of a [Deployment]: any object. The fields are
// those that drey reads; Raw has all.
type DeploymentSpec struct {
	// DeploymentTargetName is the name of a DeploymentTarget in the same
	// namespace. The application runs there.
	//
	// +optional
	// +nullable
	DeploymentTargetName string `json:"deploymentTargetName,omitempty"`

	// DeploymentTargetID is the id of that target, as an alternative to its name.
	//
	// +optional
	// +nullable
	DeploymentTargetID string `json:"deploymentTargetId,omitempty"`

	// SessionClusterName is the name of a SessionCluster in the same namespace.
	// The application runs on it, in session mode.
	//
	// +optional
	// +nullable
	SessionClusterName string `json:"sessionClusterName,omitempty"`

	Raw `json:"-"`
}

// UnmarshalJSON implements json.Unmarshaler. It keeps the text.
func (s *DeploymentSpec) UnmarshalJSON(text []byte) error {
	type fields DeploymentSpec
	return unmarshal(text, (*fields)(s), &s.Raw)
}

// DeploymentList is a list of Deployments.
//
// +kubebuilder:object:root=true
type DeploymentList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Deployment `json:"items"`
}
