package registry

import (
	"crypto/sha256"
	"encoding/hex"
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

// maxValue is the longest value that a Kubernetes label may have.
const maxValue = 63

// LabelValue turns a name, which may be any text, into a label value that a
// person recognizes: lower case, hyphens for whatever is not a letter or a
// digit. A name that lost something other than ASCII punctuation, or that was
// cut, ends in eight hex digits of its SHA-256, so that two names do not share
// a value by accident. A valid label value in lower case stays as it is.
//
// It is defined for every string and idempotent.
func LabelValue(name string) string {
	if name != "" && IsLabelValue(name) && name == strings.ToLower(name) {
		return name
	}
	return slug(name)
}

// slug is LabelValue but for names that are valid label values: those lose
// their underscores and dots too.
func slug(name string) string {
	value, lost := hyphenate(name)
	switch {
	case value == "":
		return "x-" + digest(name)
	case len(value) > maxValue, lost:
		const room = maxValue - 1 - 8
		if len(value) > room {
			value = strings.TrimRight(value[:room], "-")
		}
		return value + "-" + digest(name)
	}
	return value
}

// hyphenate keeps lower-case ASCII letters and digits and makes every run of
// anything else one hyphen, none at the ends. lost says that a character was
// none of ASCII's.
func hyphenate(name string) (value string, lost bool) {
	var b strings.Builder
	gap := false
	for i := range len(name) {
		c := name[i]
		switch {
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		default:
			lost = lost || c >= 0x80
			gap = true
			continue
		}
		if gap && b.Len() > 0 {
			b.WriteByte('-')
		}
		gap = false
		b.WriteByte(c)
	}
	return b.String(), lost
}

func digest(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:4])
}

// IsLabelValue is Kubernetes' rule: empty, or at most 63 letters, digits and
// -_. with a letter or digit at both ends. It is written out because it runs
// for every pod.
func IsLabelValue(s string) bool {
	if len(s) > maxValue {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '-' || c == '_' || c == '.':
			if i == 0 || i == len(s)-1 {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// names keeps one copy of each of a few names that many objects have. What comes
// decoded from a store has copies of its own.
type names map[string]string

func (n names) one(name string) string {
	if kept, ok := n[name]; ok {
		return kept
	}
	n[name] = name
	return name
}
