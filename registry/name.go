package registry

import (
	"regexp"

	"k8s.io/apimachinery/pkg/util/validation"
)

// targetName is the REST API's rule for the names of targets.
var targetName = regexp.MustCompile(`^[0-9a-zA-Z_-]{1,250}$`)

func checkTargetName(name string) error {
	if targetName.MatchString(name) {
		return nil
	}
	return refuse(ReasonInvalidName,
		"%s is not a name for a DeploymentTarget: use 1 to 250 characters of 0-9, a-z, A-Z, hyphen and underscore", quote(name))
}

// checkNamespaceName holds for platform namespaces and Kubernetes namespaces
// alike: an RFC 1123 label, since the Kubernetes store keeps the first in the
// second.
func checkNamespaceName(name string) bool {
	return len(validation.IsDNS1123Label(name)) == 0
}
