package v1

// LabelPlatform makes a Kubernetes namespace a platform namespace, with the value true.
//
// So do an object of the registry in it, and the name default: `kubectl apply` of a target is
// enough. Drey sets and removes the label. It creates Kubernetes namespaces only with
// --create-namespaces, and deletes none.
const LabelPlatform = "drey.dev/platform"
