package boltstore

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"drey.dev/drey/registry"
)

// Contents is the number of objects of each kind in a file.
type Contents map[registry.Kind]int

// String returns for example "1 Deployment, 2 DeploymentTargets".
func (c Contents) String() string {
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(c)) {
		plural := "s"
		if c[kind] == 1 {
			plural = ""
		}
		parts = append(parts, fmt.Sprintf("%d %s%s", c[kind], kind, plural))
	}
	if len(parts) == 0 {
		return "no objects"
	}
	return strings.Join(parts, ", ")
}

// Check validates the whole file at path, which no process may have open, and returns its contents. The
// error is a [*DamageError] if it is damaged.
func Check(path string) (Contents, error) {
	f, err := openLocked(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // opened for reading
	return check(path, f)
}

// check is Check of a locked file. It validates all pages, the checksums of all objects, and their
// number.
func check(path string, f *os.File) (Contents, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	t, err := openTree(path, f, info.Size())
	if err != nil {
		return nil, err
	}
	buckets, err := t.buckets()
	if err != nil {
		return nil, err
	}
	header := map[string][]byte{}
	if bucket, ok := buckets[string(headerBucket)]; ok {
		if err := t.each(bucket, func(key, value []byte) error { header[string(key)] = value; return nil }); err != nil {
			return nil, err
		}
	}
	delete(buckets, string(headerBucket))
	found, stated, err := readHeader(path, func(key []byte) []byte { return header[string(key)] })
	if err != nil {
		return nil, err
	}
	// A valid checksum implies valid JSON. Schema 1 has no checksums.
	read := func(kind registry.Kind, key, record []byte) error {
		_, err := verified(path, kind, key, record)
		return err
	}
	if found == schemaV1 {
		read = func(kind registry.Kind, key, record []byte) error {
			_, err := decodeText(path, kind, key, record)
			return err
		}
	}
	contents, seen := Contents{}, tally{}
	for _, name := range slices.Sorted(maps.Keys(buckets)) {
		kind := registry.Kind(name)
		err := t.each(buckets[name], func(key, record []byte) error {
			if err := read(kind, key, record); err != nil {
				return err
			}
			contents[kind]++
			if found == schema {
				seen.add(record)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if seen != stated {
		return nil, damaged(path, "it has %d objects, but the header has %d, or other ones", seen.objects, stated.objects)
	}
	return contents, t.accountFor()
}
