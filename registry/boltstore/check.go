package boltstore

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"drey.dev/drey/registry"
)

// Contents says how many objects of each kind a file has.
type Contents map[registry.Kind]int

// String is such as "1 Deployment, 2 DeploymentTargets".
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

// Check reads all of the file at path, which no drey may have open, and says
// what it has. The error is a [*DamageError] if it is not as drey wrote it.
func Check(path string) (Contents, error) {
	f, err := openLocked(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	return check(path, f)
}

// check is Check of a file that nobody writes to: that every page is in its
// place and used once, every object is there, and has its checksum.
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
	// What has its checksum is what drey wrote, and is decoded soon enough: by who
	// reads it. The first schema had none.
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
		return nil, damaged(path, "it has %d objects, and its header speaks of %d others", seen.objects, stated.objects)
	}
	return contents, t.accountFor()
}
