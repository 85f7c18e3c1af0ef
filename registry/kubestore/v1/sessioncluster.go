package v1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// SessionCluster is a Flink session cluster, as a client of the REST API describes it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=sessionclusters,shortName=vsc,categories=drey
// +kubebuilder:printcolumn:name="Target",type=string,JSONPath=`.spec.deploymentTargetName`
// +kubebuilder:printcolumn:name="Desired",type=string,JSONPath=`.spec.state`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="ID",type=string,priority=1,JSONPath=`.status.id`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[0-9a-z]([0-9a-z-]{0,61}[0-9a-z])?$')",message="metadata.name is also the name in the REST API: use 1 to 63 characters of 0-9, a-z and hyphen, with no hyphen at either end"
type SessionCluster struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is any object of the client. Drey reads its references.
	//
	// +required
	// +kubebuilder:pruning:PreserveUnknownFields
	Spec SessionClusterSpec `json:"spec"`

	// Status is the observed state, written by drey.
	//
	// +optional
	Status WorkloadStatus `json:"status,omitzero"`
}

// SessionClusterSpec is the spec of a [SessionCluster]: any object. The fields are
// those that drey reads; Raw has all.
type SessionClusterSpec struct {
	// DeploymentTargetName is the name of a DeploymentTarget in the same
	// namespace. The cluster runs there.
	//
	// +optional
	// +nullable
	DeploymentTargetName string `json:"deploymentTargetName,omitempty"`

	// DeploymentTargetID is the id of that target, as an alternative to its name.
	//
	// +optional
	// +nullable
	DeploymentTargetID string `json:"deploymentTargetId,omitempty"`

	Raw `json:"-"`
}

// UnmarshalJSON implements json.Unmarshaler. It keeps the text.
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
