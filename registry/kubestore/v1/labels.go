package v1

// LabelPlatform marks a Kubernetes namespace as a platform namespace, with the
// value true.
//
// A Kubernetes namespace is a platform namespace if it has this label, if it
// holds an object of the registry, or if it is default, which always is one. So
// `kubectl apply` of a target is enough, no namespace of other people's is
// listed, and an empty one is there for REST when somebody who may edit the
// Kubernetes namespace says so. Drey makes and deletes no Kubernetes namespace
// unless it is told to (--create-namespaces): what it adds and removes is
// the label.
const LabelPlatform = "drey.dev/platform"
