package v1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Condition types.
const (
	// Ready: the REST API serves the object; for a target also that Flink may
	// run in its Kubernetes namespace.
	Ready = "Ready"
	// Referenced: an object of the registry refers to the target.
	Referenced = "Referenced"
)

// Condition reasons.
const (
	Registered           = "Registered"           // Ready: true
	NameTaken            = "NameTaken"            // Ready: false, an older object has the same name in the REST API
	NamespaceMissing     = "NamespaceMissing"     // Ready: false, the target points at a Kubernetes namespace that does not exist
	NamespaceTerminating = "NamespaceTerminating" // Ready: false, that namespace is terminating
	NamespaceNotServed   = "NamespaceNotServed"   // Ready: false, drey does not serve that namespace, or not yet
	InUse                = "InUse"                // Referenced: true
	NotReferenced        = "NotReferenced"        // Referenced: false
)

// Status is the common part of the status of all kinds.
type Status struct {
	// ObservedGeneration is the metadata.generation that the status describes.
	//
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// ID is the object's id in the REST API.
	//
	// +optional
	ID string `json:"id,omitempty"`

	// Name is the object's name in the REST API.
	//
	// +optional
	Name string `json:"name,omitempty"`

	// Deleting is set while drey checks for references before it deletes the
	// object. A new reference removes it, which cancels the deletion.
	//
	// +optional
	Deleting string `json:"deleting,omitempty"`

	// Conditions are Ready and, for targets, Referenced.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// WorkloadStatus is the observed state of a Deployment or SessionCluster.
type WorkloadStatus struct {
	Status `json:",inline"`

	// State is spec.state compared with the workloads in the cluster: RUNNING, CANCELLED,
	// SUSPENDED, STOPPED, FAILED, FINISHED or TRANSITIONING.
	//
	// +optional
	State string `json:"state,omitempty"`
}
