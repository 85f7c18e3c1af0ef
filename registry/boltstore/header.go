package boltstore

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"go.etcd.io/bbolt"

	"drey.dev/drey/registry"
)

// The file has a bucket per kind, with a key "<namespace>\x00<name>" and a
// record per object, and one that is the header.
var (
	headerBucket = []byte("drey")
	schemaKey    = []byte("schema") // the version of this layout, as text
	contentsKey  = []byte("contents")
)

// Schemas. A file of an older one is brought up to date when it is opened.
const (
	schema   = "2"
	schemaV1 = "1" // records are JSON without a checksum, and there is no contents key
)

// tally is what the header knows of the objects, so that one which is missing
// is noticed, too: how many there are, and the sum of their checksums.
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

// contents is the tally as the header keeps it, with a checksum that covers the
// schema as well.
func (t tally) contents() []byte {
	b := binary.BigEndian.AppendUint64(nil, t.objects)
	b = binary.BigEndian.AppendUint64(b, t.sum)
	return binary.BigEndian.AppendUint32(b, headerChecksum(b))
}

func headerChecksum(contents []byte) uint32 {
	return crc32.Update(crc32.Checksum([]byte(schema), castagnoli), castagnoli, contents)
}

// readHeader reads the header through get. It returns the schema, and the tally
// if that schema has one.
func readHeader(path string, get func(key []byte) []byte) (found string, t tally, err error) {
	contents := get(contentsKey)
	switch found = string(get(schemaKey)); {
	case found == schemaV1 && contents == nil:
		return found, t, nil
	case found == "" || found == schemaV1:
		return found, t, damaged(path, "its header is not whole")
	case found != schema:
		return found, t, fmt.Errorf("%s has schema version %q and this drey knows %q: use the drey that wrote it, or a newer one. "+
			"If there is none, the file is damaged: restore a backup", path, found, schema)
	}
	const size = 16
	if len(contents) != size+checksumSize || binary.BigEndian.Uint32(contents[size:]) != headerChecksum(contents[:size]) {
		return found, t, damaged(path, "its header has another checksum than its content")
	}
	return found, tally{binary.BigEndian.Uint64(contents), binary.BigEndian.Uint64(contents[8:])}, nil
}

// migrate brings a file of schema 1 up to date, all or nothing.
func migrate(tx *bbolt.Tx) error {
	w := &writing{tx: tx}
	err := tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
		if string(name) == string(headerBucket) {
			return nil
		}
		kind := registry.Kind(name)
		records := map[string][]byte{} // a bucket must not change under ForEach
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
