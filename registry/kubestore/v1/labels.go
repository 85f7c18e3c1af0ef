package v1

// LabelPlatform, with the value true, makes a Kubernetes namespace a platform namespace.
//
// So do an object of the registry in it, and the name default: `kubectl apply` of a target is
// enough. Drey sets and removes the label. It creates Kubernetes namespaces only with
// --create-namespaces, and deletes none.
const LabelPlatform = "drey.dev/platform"
