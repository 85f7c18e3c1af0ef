package boltstore

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"go.etcd.io/bbolt"

	"drey.dev/drey/registry"
)

// The file has a bucket for each kind, with a record for each object under the key
// "<namespace>\x00<name>", and the header bucket.
var (
	headerBucket = []byte("drey")
	schemaKey    = []byte("schema") // the version of this layout, as text
	contentsKey  = []byte("contents")
)

// Schema versions. Open upgrades older files.
const (
	schema   = "2"
	schemaV1 = "1" // records are JSON without a checksum, and there is no contents key
)

// tally is the number of objects and the sum of their checksums. It detects missing objects.
type tally struct {
	objects, sum uint64
}

func (t *tally) add(record []byte) {
	t.objects++
	t.sum += uint64(binary.BigEndian.Uint32(record))
}

func (t *tally) remove(record []byte) {
	t.objects--
	t.sum -= uint64(binary.BigEndian.Uint32(record))
}

// contents encodes the tally for the header, with a checksum that covers the schema too.
func (t tally) contents() []byte {
	b := binary.BigEndian.AppendUint64(nil, t.objects)
	b = binary.BigEndian.AppendUint64(b, t.sum)
	return binary.BigEndian.AppendUint32(b, headerChecksum(b))
}

func headerChecksum(contents []byte) uint32 {
	return crc32.Update(crc32.Checksum([]byte(schema), castagnoli), castagnoli, contents)
}

// readHeader reads the header through get. It returns the schema, and the tally if the schema has
// one.
func readHeader(path string, get func(key []byte) []byte) (found string, t tally, err error) {
	contents := get(contentsKey)
	switch found = string(get(schemaKey)); {
	case found == schemaV1 && contents == nil:
		return found, t, nil
	case found == "" || found == schemaV1:
		return found, t, damaged(path, "the header is incomplete")
	case found != schema:
		return found, t, fmt.Errorf("%s has schema version %q, but this drey supports %q: use the drey that wrote it or a newer one; "+
			"if there is none, the file is damaged: restore a backup", path, found, schema)
	}
	const size = 16
	if len(contents) != size+checksumSize || binary.BigEndian.Uint32(contents[size:]) != headerChecksum(contents[:size]) {
		return found, t, damaged(path, "the checksum of the header does not match")
	}
	return found, tally{binary.BigEndian.Uint64(contents), binary.BigEndian.Uint64(contents[8:])}, nil
}

// migrate upgrades a file of schema 1 in one transaction.
func migrate(tx *bbolt.Tx) error {
	w := &writing{tx: tx}
	err := tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
		if string(name) == string(headerBucket) {
			return nil
		}
		kind := registry.Kind(name)
		records := map[string][]byte{} // ForEach does not allow changes
		if err := b.ForEach(func(key, text []byte) error {
			records[string(key)] = seal(kind, key, text)
			return nil
		}); err != nil {
			return err
		}
		for key, record := range records {
			w.tally.add(record)
			if err := b.Put([]byte(key), record); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return w.finish()
}
