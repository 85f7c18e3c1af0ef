package v1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// The types of the conditions in a status.
const (
	// Ready: the object is in the registry, and REST shows it; of a target, also
	// that Flink may run where it points.
	Ready = "Ready"
	// Referenced: something in the registry names the target.
	Referenced = "Referenced"
)

// The reasons of these conditions.
const (
	Registered           = "Registered"           // Ready: true
	NameTaken            = "NameTaken"            // Ready: false, an older object has the same name in REST
	NamespaceMissing     = "NamespaceMissing"     // Ready: false, the target points at a Kubernetes namespace that does not exist
	NamespaceTerminating = "NamespaceTerminating" // Ready: false, that namespace is being deleted
	NamespaceNotServed   = "NamespaceNotServed"   // Ready: false, drey does not work there, or not yet
	InUse                = "InUse"                // Referenced: true
	NotReferenced        = "NotReferenced"        // Referenced: false
)

// Status is what the status of every kind has.
type Status struct {
	// ObservedGeneration is the metadata.generation that this status is about.
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

	// Deleting is there while drey finds out whether it may delete the object,
	// and gone when something has come to refer to it meanwhile.
	//
	// +optional
	Deleting string `json:"deleting,omitempty"`

	// Conditions are Ready and, of targets, Referenced.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}
