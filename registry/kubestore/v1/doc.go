// Package v1 contains the API types of group drey.dev, version v1: the custom
// resources of the registry. The Kubernetes namespace of an object is its platform
// namespace.
//
// `make generate` generates manifests/crds and zz_generated.deepcopy.go from them.
//
// +kubebuilder:object:generate=true
// +groupName=drey.dev
package v1
