package registry

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/validation"
)

var targetNames = regexp.MustCompile(`^[0-9a-zA-Z_-]{1,250}$`)

// targetName is the REST API's rule for the names of targets.
func targetName(kind Kind, name string) (kept, free string, err error) {
	if !targetNames.MatchString(name) {
		return "", "", refuse(ReasonInvalidName,
			"%s is not a name for a %s: use 1 to 250 characters of 0-9, a-z, A-Z, hyphen and underscore", quote(name), kind)
	}
	return name, "", nil
}

var freeNames = regexp.MustCompile(`^[0-9a-z]([0-9a-z-]{0,61}[0-9a-z])?$`)

// freeName is the REST API's rule for the names of Deployments and
// SessionClusters: 1 to 63 of [-0-9a-z], no hyphen at either end. Older clients
// put free text there, which is a display name now; the name is made from it.
func freeName(kind Kind, name string) (kept, free string, err error) {
	if freeNames.MatchString(name) {
		return name, "", nil
	}
	const longest = 1000
	if strings.TrimSpace(name) == "" || len(name) > longest || !utf8.ValidString(name) {
		return "", "", refuse(ReasonInvalidName,
			"%s is not a name for a %s: use 1 to 63 characters of 0-9, a-z and hyphen, with no hyphen at either end", quote(name), kind)
	}
	return slug(name), name, nil
}

// checkNamespaceName holds for platform namespaces and Kubernetes namespaces
// alike: an RFC 1123 label, since the Kubernetes store keeps the first in the
// second.
func checkNamespaceName(name string) bool {
	return len(validation.IsDNS1123Label(name)) == 0
}
