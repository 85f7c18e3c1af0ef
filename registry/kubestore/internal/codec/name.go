package codec

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"

	"drey.dev/drey/registry"
)

var plainNames = regexp.MustCompile(`^[0-9a-z]([0-9a-z-]{0,248}[0-9a-z])?$`)

// ObjectName returns the metadata.name for a name in REST: the name itself if Kubernetes
// accepts it, else a readable stem, a dot, and 20 hex digits of the name's SHA-256:
// myDeploymentTarget becomes mydeploymenttarget.eefb4b1f6f901df587ca.
//
// It is injective: names in REST have no dot, so the two forms are disjoint, and the hash
// identifies the name within the second.
func ObjectName(name string) string {
	if plainNames.MatchString(name) {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	const room = 200 // of 253
	stem := strings.Map(func(c rune) rune {
		if c == '_' || c == '.' {
			return '-'
		}
		return c
	}, registry.LabelValue(name[:min(len(name), room)]))
	return stem + "." + hex.EncodeToString(sum[:10])
}
