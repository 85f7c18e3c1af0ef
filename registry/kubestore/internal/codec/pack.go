package codec

import (
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"drey.dev/drey/registry"
)

// Packed is an object of the registry in one string, without its kind, platform namespace and id. Two
// objects are equal if their strings are. An object as Go values takes several times the memory: maps
// of few entries, and a header of 16 bytes for each string.
type Packed string

// Pack packs an object. objectName is its metadata.name.
func Pack(o registry.Object, objectName string) Packed {
	m := o.Metadata
	if objectName == m.Name {
		objectName = ""
	}
	b := make([]byte, 0, 64+len(m.Name)+len(objectName)+len(m.DisplayName)+len(o.Spec)+64*(len(m.Labels)+len(m.Annotations)))
	for _, text := range []string{m.Name, objectName, m.DisplayName} {
		b = appendString(b, text)
	}
	for _, t := range []time.Time{m.CreatedAt, m.ModifiedAt} {
		b = binary.AppendUvarint(binary.AppendVarint(b, t.Unix()), uint64(t.Nanosecond())) //nolint:gosec // not negative
	}
	b = binary.AppendVarint(b, int64(m.ResourceVersion))
	for _, texts := range []map[string]string{m.Labels, m.Annotations} {
		b = binary.AppendUvarint(b, uint64(len(texts)))
		for _, key := range slices.Sorted(maps.Keys(texts)) {
			b = appendString(appendString(b, key), texts[key])
		}
	}
	return Packed(append(b, o.Spec...))
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// Name returns the name in REST.
func (p Packed) Name() string {
	r := reader(p)
	return r.string()
}

// ObjectName returns the metadata.name.
func (p Packed) ObjectName() string {
	r := reader(p)
	name := r.string()
	if objectName := r.string(); objectName != "" {
		return objectName
	}
	return name
}

// Unpack returns the object without its kind, platform namespace and id. Its maps and its spec are the
// caller's.
func (p Packed) Unpack() (o registry.Object) {
	r := reader(p)
	m := &o.Metadata
	m.Name = r.string()
	_ = r.string() // metadata.name
	m.DisplayName = r.string()
	m.CreatedAt, m.ModifiedAt = r.time(), r.time()
	m.ResourceVersion = int32(r.int()) //nolint:gosec // packed from one
	m.Labels, m.Annotations = r.strings(), r.strings()
	o.Spec = []byte(r)
	return o
}

// reader is what is left to read of a Packed.
type reader string

func (r *reader) uint() (n uint64) {
	for i := 0; ; i++ {
		b := (*r)[i]
		n |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			*r = (*r)[i+1:]
			return n
		}
	}
}

func (r *reader) int() int64 {
	n := r.uint()
	return int64(n>>1) ^ -int64(n&1) // zigzag, as in encoding/binary
}

func (r *reader) string() string {
	n := r.uint()
	s := string((*r)[:n])
	*r = (*r)[n:]
	return s
}

func (r *reader) time() time.Time {
	return time.Unix(r.int(), int64(r.uint())).UTC() //nolint:gosec // packed from a time
}

func (r *reader) strings() map[string]string {
	n := r.uint()
	m := make(map[string]string, n)
	for range n {
		key := r.string()
		m[key] = r.string()
	}
	return m
}
