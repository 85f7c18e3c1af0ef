package codec

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"drey.dev/drey/registry"
)

// The REST API's resourceVersion is an int32 that is 1 on a new object and goes
// up by one with each change. An object in the cluster has nothing of the sort:
// its metadata.resourceVersion counts the writes of the whole cluster, outgrows
// an int32 within months, and changes with every status; its generation does not
// see labels. And kubectl, which changes objects too, counts nothing.
//
// So whoever writes through REST leaves a count in the annotation
// drey.dev/version, and beside it a digest of what REST shows of the object. As
// long as the object has that digest, the count is its version: 1, 2, 3, as
// clients expect. If it has another, somebody wrote who does not count; then the
// version is made from the digest itself, in the upper half of the numbers. The
// next write through REST counts on from there.
//
// Either way the version is a function of the object and nothing else: all
// replicas say the same, without asking each other, after a restart and after a
// backup was restored into another cluster. It changes when what REST shows
// changes, whoever changed it, and does not when a status is written. It is no
// order in time: after a change by kubectl it may be smaller than before.
// Clients only compare it for equality.
//
// Two different states share a number made from a digest once in 2^30 times.
// Writes do not stand on it alone: each states the full resourceVersion of the
// object that had the expected number.
type digest [sha256.Size]byte

// stateOf is the digest of what REST shows of an object and its authors decide.
func stateOf(o registry.Object) digest {
	spec := jsontext.Value(o.Spec).Clone()
	if err := spec.Format(jsontext.ReorderRawObjects(true), jsontext.AllowDuplicateNames(true)); err != nil {
		spec = nil
	}
	m := o.Metadata
	text, _ := json.Marshal([]any{m.Name, m.DisplayName, nonNil(m.Labels), nonNil(m.Annotations), string(spec)}) // strings only: it cannot fail
	return sha256.Sum256(text)
}

func nonNil(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

func (d digest) String() string { return hex.EncodeToString(d[:10]) }

// count writes the annotation for an object in a state.
func count(version int32, state digest) string { return fmt.Sprintf("%d %s", version, state) }

// versionOf returns the version of an object in a state whose annotation says
// counted, and whether whoever wrote it last has counted.
func versionOf(counted string, state digest) (version int32, isCounted bool) {
	number, of, _ := strings.Cut(counted, " ")
	if n, err := strconv.ParseInt(number, 10, 32); err == nil && n > 0 && of == state.String() {
		return int32(n), true
	}
	const half = 1 << 30
	return half + int32(binary.BigEndian.Uint32(state[len(state)-4:])%half), false
}

// NextVersion is the version after one.
func NextVersion(version int32) int32 {
	if version == math.MaxInt32 {
		return 1
	}
	return version + 1
}
