package v1

// Annotations of what Kubernetes has no field for. The REST API does not show them, and
// objects created with kubectl need none.
const (
	AnnotationID          = "drey.dev/id"           // the id, if it is not metadata.uid
	AnnotationDisplayName = "drey.dev/display-name" // free text
	AnnotationCreatedAt   = "drey.dev/created-at"   // RFC 3339, if it is not metadata.creationTimestamp
	AnnotationModifiedAt  = "drey.dev/modified-at"  // RFC 3339
	AnnotationVersion     = "drey.dev/version"      // resourceVersion in REST, and a digest of the object at that version
	AnnotationNumbers     = "drey.dev/numbers"      // JSON object: texts of numbers by JSON pointer into spec
	AnnotationLabels      = "drey.dev/labels"       // JSON object: labels that are not valid in Kubernetes
	AnnotationAnnotations = "drey.dev/annotations"  // JSON object: annotations that are not valid in Kubernetes

	AnnotationRoleBindings = "drey.dev/role-bindings" // of a namespace: JSON array of the role bindings, which RBAC does not read
)
