package v1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// DeploymentDefaults are the defaults of new Deployments in a platform namespace, as a client
// of the REST API describes them. A platform namespace has one object, named
// deployment-defaults.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=deploymentdefaults,singular=deploymentdefaults,shortName=vdd,categories=drey
// +kubebuilder:printcolumn:name="Target",type=string,JSONPath=`.spec.deploymentTargetName`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="ID",type=string,priority=1,JSONPath=`.status.id`
// +kubebuilder:validation:XValidation:rule="self.metadata.name == 'deployment-defaults'",message="metadata.name must be deployment-defaults: a platform namespace has one DeploymentDefaults"
type DeploymentDefaults struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is any object of the client. Drey reads its reference to a target.
	//
	// +required
	// +kubebuilder:pruning:PreserveUnknownFields
	Spec DeploymentDefaultsSpec `json:"spec"`

	// Status is the observed state, written by drey.
	//
	// +optional
	Status Status `json:"status,omitzero"`
}

// DeploymentDefaultsSpec is the spec of [DeploymentDefaults]: any object. The fields are
// those that drey reads; Raw has all.
type DeploymentDefaultsSpec struct {
	// DeploymentTargetName is the name of a DeploymentTarget in the same
	// namespace: the target of new Deployments that state none.
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
func (s *DeploymentDefaultsSpec) UnmarshalJSON(text []byte) error {
	type fields DeploymentDefaultsSpec
	return unmarshal(text, (*fields)(s), &s.Raw)
}

// DeploymentDefaultsList is a list of DeploymentDefaults.
//
// +kubebuilder:object:root=true
type DeploymentDefaultsList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []DeploymentDefaults `json:"items"`
}
