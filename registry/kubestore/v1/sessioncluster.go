package v1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// SessionCluster is a Flink cluster that takes many jobs, as clients of the REST
// API describe it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=sessionclusters,shortName=vsc,categories=drey
// +kubebuilder:printcolumn:name="Target",type=string,JSONPath=`.spec.deploymentTargetName`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.spec.state`,description="The state that its author wants."
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="ID",type=string,priority=1,JSONPath=`.status.id`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[0-9a-z]([0-9a-z-]{0,61}[0-9a-z])?$')",message="metadata.name is also the name in the REST API: use 1 to 63 characters of 0-9, a-z and hyphen, with no hyphen at either end"
type SessionCluster struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is the client's. Drey reads of it what it refers to, and keeps the
	// rest.
	//
	// +required
	// +kubebuilder:pruning:PreserveUnknownFields
	Spec SessionClusterSpec `json:"spec"`

	// Status is what drey has found. Drey alone writes it.
	//
	// +optional
	Status Status `json:"status,omitzero"`
}

// SessionClusterSpec is the spec of a [SessionCluster]: any object. The fields
// here are those that drey reads; Raw has them all.
type SessionClusterSpec struct {
	// DeploymentTargetName is the name of the DeploymentTarget in the same
	// namespace in which the cluster runs.
	//
	// +optional
	// +nullable
	DeploymentTargetName string `json:"deploymentTargetName,omitempty"`

	// DeploymentTargetID is the same by the target's id.
	//
	// +optional
	// +nullable
	DeploymentTargetID string `json:"deploymentTargetId,omitempty"`

	Raw `json:"-"`
}

// UnmarshalJSON keeps the text whole.
func (s *SessionClusterSpec) UnmarshalJSON(text []byte) error {
	type fields SessionClusterSpec
	return unmarshal(text, (*fields)(s), &s.Raw)
}

// SessionClusterList is a list of SessionClusters.
//
// +kubebuilder:object:root=true
type SessionClusterList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []SessionCluster `json:"items"`
}
