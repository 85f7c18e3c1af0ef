package v1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// DeploymentTarget admits Flink to a Kubernetes namespace. Its spec is immutable.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=dt,categories=drey
// +kubebuilder:printcolumn:name="Target-Namespace",type=string,JSONPath=`.spec.kubernetes.namespace`,description="The Kubernetes namespace that Flink is admitted to. Empty: the one that drey runs in."
// +kubebuilder:printcolumn:name="References",type=integer,JSONPath=`.status.references`,description="Number of Deployments and SessionClusters of drey that refer to this target."
// +kubebuilder:printcolumn:name="Workloads",type=integer,JSONPath=`.status.workloads`,description="Number of Flink workloads admitted by this target."
// +kubebuilder:printcolumn:name="Pods",type=integer,JSONPath=`.status.pods`,description="Number of their pods."
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Reason",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,description="Reason of the condition Ready."
// +kubebuilder:printcolumn:name="REST-Name",type=string,priority=1,JSONPath=`.status.name`,description="The name in the REST API."
// +kubebuilder:printcolumn:name="ID",type=string,priority=1,JSONPath=`.status.id`
// +kubebuilder:validation:XValidation:rule="has(self.spec.name) || self.metadata.name.matches('^[0-9a-z-]{1,250}$')",message="metadata.name is also the name in the REST API, which has no dots and at most 250 characters: choose another, or put the name for REST into spec.name"
// +kubebuilder:validation:XValidation:rule="!has(self.spec.name) || self.spec.name == self.metadata.name || !self.spec.name.matches('^[0-9a-z]([0-9a-z-]*[0-9a-z])?$')",message="spec.name is for names that metadata.name cannot hold, such as myDeploymentTarget: make metadata.name the same, or leave spec.name out"
type DeploymentTarget struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is the Kubernetes namespace that the target points at. It is
	// immutable: create a target with another name, change the references to
	// this one, then delete it.
	//
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="the spec of a DeploymentTarget is immutable: create a target with another name, change the references to this one, then delete it"
	Spec DeploymentTargetSpec `json:"spec"`

	// Status is the observed state, written by drey.
	//
	// +optional
	Status DeploymentTargetStatus `json:"status,omitzero"`
}

// DeploymentTargetSpec is the spec of a [DeploymentTarget].
type DeploymentTargetSpec struct {
	// Name is the target's name in the REST API if it is not valid as
	// metadata.name: 1 to 250 characters of 0-9, a-z, A-Z, hyphen and
	// underscore. The default is metadata.name.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=250
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9a-zA-Z_-]+$')",message="use 1 to 250 characters of 0-9, a-z, A-Z, hyphen and underscore"
	Name string `json:"name,omitempty"`

	// Kubernetes is the place in the cluster that the target points at.
	//
	// +required
	Kubernetes TargetKubernetes `json:"kubernetes"`
}

// TargetKubernetes is the place in the cluster that a target points at.
type TargetKubernetes struct {
	// Namespace is the Kubernetes namespace that Flink is admitted to. The
	// default is the one that drey runs in. It need not exist yet.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9a-z]([0-9a-z-]*[0-9a-z])?$')",message="not the name of a Kubernetes namespace: use 1 to 63 characters of a-z, 0-9 and hyphen, with no hyphen at either end"
	Namespace string `json:"namespace,omitempty"`
}

// DeploymentTargetStatus is the observed state of a target.
type DeploymentTargetStatus struct {
	Status `json:",inline"`

	// References is the number of Deployments and SessionClusters of drey that
	// refer to the target. While there are any, it cannot be deleted.
	//
	// +optional
	References *int32 `json:"references,omitempty"`

	// Workloads is the number of Flink workloads admitted by this target, at most
	// 10 seconds old. It is absent until drey has listed the cluster.
	// +optional
	Workloads *int32 `json:"workloads,omitempty"`

	// Pods is the number of the pods of these workloads.
	// +optional
	Pods *int32 `json:"pods,omitempty"`
}

// DeploymentTargetList is a list of DeploymentTargets.
//
// +kubebuilder:object:root=true
type DeploymentTargetList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []DeploymentTarget `json:"items"`
}
