package v1

// The annotations by which an object carries what Kubernetes has no field for.
// REST does not show them. None is needed on an object that kubectl makes.
const (
	AnnotationID          = "drey.dev/id"           // the id, where it is not metadata.uid
	AnnotationDisplayName = "drey.dev/display-name" // free text
	AnnotationCreatedAt   = "drey.dev/created-at"   // RFC 3339, where it is not metadata.creationTimestamp
	AnnotationModifiedAt  = "drey.dev/modified-at"  // RFC 3339
	AnnotationVersion     = "drey.dev/version"      // the count and the digest that versionOf describes
	AnnotationNumbers     = "drey.dev/numbers"      // texts of numbers, by JSON pointer below spec
	AnnotationLabels      = "drey.dev/labels"       // labels that are none in Kubernetes, as a JSON object
	AnnotationAnnotations = "drey.dev/annotations"  // annotations that are none in Kubernetes, as a JSON object
)
