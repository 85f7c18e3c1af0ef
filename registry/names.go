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

// targetName validates the name of a target.
func targetName(kind Kind, name string) (stored, freeText string, err error) {
	if !targetNames.MatchString(name) {
		return "", "", refuse(ReasonInvalidName,
			"%s is not a valid name for a %s: use 1 to 250 characters of 0-9, a-z, A-Z, hyphen and underscore", quote(name), kind)
	}
	return name, "", nil
}

var freeNames = regexp.MustCompile(`^[0-9a-z]([0-9a-z-]{0,61}[0-9a-z])?$`)

// freeName validates the name of a Deployment or SessionCluster: 1 to 63 characters of [-0-9a-z],
// no hyphen at either end. The free text of older clients becomes the display name, and the name
// is derived from it.
func freeName(kind Kind, name string) (stored, freeText string, err error) {
	if freeNames.MatchString(name) {
		return name, "", nil
	}
	const longest = 1000
	if strings.TrimSpace(name) == "" || utf8.RuneCountInString(name) > longest || !utf8.ValidString(name) {
		return "", "", refuse(ReasonInvalidName,
			"%s is not a valid name for a %s: use 1 to 63 characters of 0-9, a-z and hyphen, with no hyphen at either end", quote(name), kind)
	}
	return slug(name), name, nil
}

// checkNamespaceName reports whether name is an RFC 1123 label: valid for Kubernetes namespaces,
// and for platform namespaces, which the Kubernetes store keeps there.
func checkNamespaceName(name string) bool {
	return len(validation.IsDNS1123Label(name)) == 0
}

// maxValue is the maximum length of a label value.
const maxValue = 63

// LabelValue converts any text to a readable label value: lower case, with hyphens instead of
// other characters than letters and digits. A text that was truncated, or that lost more than
// ASCII punctuation, ends in eight hex digits of its SHA-256, so that values do not collide. A
// valid label value in lower case is unchanged.
//
// It is total and idempotent.
func LabelValue(name string) string {
	if name != "" && IsLabelValue(name) && name == strings.ToLower(name) {
		return name
	}
	return slug(name)
}

// slug is LabelValue, but also replaces underscores and dots.
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

// hyphenate converts to lower case and replaces each run of other characters than ASCII letters
// and digits by a hyphen, none at the ends. lost reports characters outside ASCII.
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

// IsLabelValue reports whether s is a valid label value: empty, or at most 63 letters, digits and
// -_. with a letter or digit at both ends. It does not allocate; it runs for every pod.
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

// names interns strings that many objects share, such as platform namespaces.
type names map[string]string

func (n names) intern(name string) string {
	if interned, ok := n[name]; ok {
		return interned
	}
	n[name] = name
	return name
}
