// Package v1 has the types of the registry's custom resources: group drey.dev,
// version v1. The Kubernetes namespace of an object is its platform namespace.
//
// manifests/crds and zz_generated.deepcopy.go are made from them by
// `make generate`.
//
// +kubebuilder:object:generate=true
// +groupName=drey.dev
package v1
