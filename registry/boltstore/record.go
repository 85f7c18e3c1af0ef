package boltstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"drey.dev/drey/registry"
)

// A record is the stored value of an object: a checksum of 4 bytes, big endian, then JSON. The checksum
// covers the kind and the key too, so it detects objects under a wrong key.
const checksumSize = 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(kind registry.Kind, key, text []byte) uint32 {
	sum := crc32.Update(0, castagnoli, []byte(kind))
	sum = crc32.Update(sum, castagnoli, []byte{0})
	sum = crc32.Update(sum, castagnoli, key)
	sum = crc32.Update(sum, castagnoli, []byte{0})
	return crc32.Update(sum, castagnoli, text)
}

// boltKey orders objects by namespace, then name: no name holds a NUL.
func boltKey(key registry.Key) []byte {
	return []byte(key.Namespace + "\x00" + key.Name)
}

func encode(o registry.Object) ([]byte, error) {
	text, err := jsonv2.Marshal(o, jsontext.PreserveRawStrings(true))
	if err != nil {
		return nil, err
	}
	return seal(o.Kind, boltKey(o.Key()), text), nil
}

// seal returns the record of an object's JSON.
func seal(kind registry.Kind, key, text []byte) []byte {
	record := make([]byte, checksumSize, checksumSize+len(text))
	binary.BigEndian.PutUint32(record, checksum(kind, key, text))
	return append(record, text...)
}

// decode decodes a record of the file at path. The object shares no memory with it. The error is a
// [*DamageError] that names the object.
func decode(path string, kind registry.Kind, key, record []byte) (registry.Object, error) {
	text, err := verified(path, kind, key, record)
	if err != nil {
		return registry.Object{}, err
	}
	return decodeText(path, kind, key, text)
}

// verified returns the JSON of a record after verifying its checksum.
func verified(path string, kind registry.Kind, key, record []byte) ([]byte, error) {
	if len(record) < checksumSize {
		return nil, damaged(path, "%s is truncated", describe(kind, key))
	}
	text := record[checksumSize:]
	if kept, found := binary.BigEndian.Uint32(record), checksum(kind, key, text); kept != found {
		return nil, damaged(path, "%s has the checksum %08x, but its content has %08x", describe(kind, key), kept, found)
	}
	return text, nil
}

// decodeText decodes the JSON of an object, which is the whole record in schema 1.
func decodeText(path string, kind registry.Kind, key, text []byte) (registry.Object, error) {
	var o registry.Object
	err := jsonv2.Unmarshal(text, &o)
	if err == nil && (o.Kind != kind || !bytes.Equal(boltKey(o.Key()), key)) {
		err = errors.New("it has another key")
	}
	if err != nil {
		return registry.Object{}, damaged(path, "%s is not valid: %v", describe(kind, key), err)
	}
	return o, nil
}

// describe returns how messages refer to an object.
func describe(kind registry.Kind, key []byte) string {
	namespace, name, _ := bytes.Cut(key, []byte{0})
	return fmt.Sprintf("%s %q in platform namespace %q", kind, name, namespace)
}
