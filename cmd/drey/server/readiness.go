package server

import (
	"fmt"
	"slices"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/kubestore"
	v1 "drey.dev/drey/registry/kubestore/v1"
)

// readiness returns a function that reports whether Flink may run in the Kubernetes namespace of a
// target; nil without a cluster. With the embedded store, whose replica caches only the namespaces
// that drey has labeled, a missing namespace is one that is not labeled.
func (s *server) readiness() func(platformNamespace, target, kubernetesNamespace string) (registry.Readiness, bool) {
	if s.cluster == nil {
		return nil
	}
	if store, ok := s.store.(*kubestore.Store); ok {
		return func(platformNamespace, target, _ string) (registry.Readiness, bool) {
			return store.Readiness(platformNamespace, target)
		}
	}
	return func(_, _, kubernetesNamespace string) (registry.Readiness, bool) {
		caches := s.caches.Load()
		if caches == nil {
			return registry.Readiness{}, false
		}
		return embeddedReadiness(kubernetesNamespace, s.options.excludedNamespaces(), caches.Registered), true
	}
}

func embeddedReadiness(namespace string, excluded []string, labeled func(string) bool) registry.Readiness {
	switch {
	case slices.Contains(excluded, namespace):
		return registry.Readiness{Reason: v1.NamespaceNotServed, Message: excludedMessage(namespace)}
	case !labeled(namespace):
		return registry.Readiness{Reason: v1.NamespaceMissing, Message: fmt.Sprintf("Kubernetes namespace %q does not exist, or drey has not labeled it: kubectl create namespace %s, or see drey's log", namespace, namespace)}
	}
	return registry.Readiness{Ready: true, Reason: v1.Registered, Message: fmt.Sprintf("Flink may run in Kubernetes namespace %q", namespace)}
}
