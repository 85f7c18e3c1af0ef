package codec

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"

	"drey.dev/drey/registry"
)

var plainNames = regexp.MustCompile(`^[0-9a-z]([0-9a-z-]{0,248}[0-9a-z])?$`)

// ObjectName returns the metadata.name under which an object of a name is kept:
// the name itself where Kubernetes can hold it, else what of it a person would
// recognize, a dot, and 20 hex digits of the name's SHA-256:
// myDeploymentTarget is mydeploymenttarget.eefb4b1f6f901df587ca.
//
// No two names share one. Names in the REST API have no dot, so one of the first
// sort is never one of the second; and within that the hash stands for the name.
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
