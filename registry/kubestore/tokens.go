package kubestore

import (
	"fmt"

	"drey.dev/drey/registry"
)

// noTokens refuses to keep an API token. The cluster has tokens of its own, with
// an end and without a secret that drey would have to keep; a second sort beside
// them would take the right to write what lets people in.
func noTokens(namespace string) error {
	if namespace == registry.Everywhere {
		namespace = "NAMESPACE"
	}
	return &registry.Error{Reason: registry.ReasonNotSupported, Message: fmt.Sprintf(
		"there are no API tokens while the cluster keeps the registry: use the token of a ServiceAccount (kubectl create token NAME -n %s), which RBAC gives rights on deploymenttargets.drey.dev and the like", namespace)}
}
