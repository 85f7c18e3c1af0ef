package codec

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"drey.dev/drey/registry"
)

// digest is a digest of an object as REST shows it.
//
// The resourceVersion of the REST API is an int32 that is 1 on a new object and increases with
// each change. Kubernetes has no such number: metadata.resourceVersion exceeds an int32 and
// changes with every status, metadata.generation ignores labels, and kubectl sets neither.
//
// Writes through REST therefore store a counter in the annotation drey.dev/version, with the
// digest of the object. While the object has that digest, the counter is its version. If not,
// another client changed the object, and the version is derived from the digest, in the upper
// half of the range. The next write through REST increments that.
//
// So the version is a function of the object: all replicas agree on it without coordination,
// also after a restart and after a restore into another cluster. It changes exactly when the
// object as REST shows it changes. It is not ordered in time: a change by kubectl may decrease
// it. Clients compare it for equality.
//
// Two states share a derived version with a probability of 2^-30. Writes do not rely on it
// alone: each states the metadata.resourceVersion that it is based on.
type digest [sha256.Size]byte

// digestOf returns the digest of an object: of its names, labels, annotations and spec.
func digestOf(o registry.Object) digest {
	spec := jsontext.Value(o.Spec).Clone()
	if err := spec.Format(jsontext.ReorderRawObjects(true), jsontext.AllowDuplicateNames(true)); err != nil {
		spec = nil
	}
	m := o.Metadata
	text, _ := json.Marshal([]any{m.Name, m.DisplayName, nonNil(m.Labels), nonNil(m.Annotations), string(spec)}) // strings and maps of strings marshal
	return sha256.Sum256(text)
}

func nonNil(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

func (d digest) String() string { return hex.EncodeToString(d[:10]) }

// formatVersion returns the annotation for an object with a digest.
func formatVersion(version int32, d digest) string { return fmt.Sprintf("%d %s", version, d) }

// parseVersion returns the version of an object with a digest, and whether its annotation is
// up to date.
func parseVersion(annotation string, d digest) (version int32, valid bool) {
	number, of, _ := strings.Cut(annotation, " ")
	if n, err := strconv.ParseInt(number, 10, 32); err == nil && n > 0 && of == d.String() {
		return int32(n), true
	}
	const half = 1 << 30
	return half + int32(binary.BigEndian.Uint32(d[len(d)-4:])%half), false
}
