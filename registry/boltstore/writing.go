package boltstore

import (
	"errors"

	"go.etcd.io/bbolt"

	"drey.dev/drey/registry"
)

// writing is a write transaction. It keeps the header consistent with the objects.
type writing struct {
	tx      *bbolt.Tx
	tally   tally
	changed bool
}

func newWriting(tx *bbolt.Tx) (*writing, error) {
	header := tx.Bucket(headerBucket)
	if header == nil {
		return nil, damaged(tx.DB().Path(), "the header is missing")
	}
	_, t, err := readHeader(tx.DB().Path(), header.Get)
	return &writing{tx: tx, tally: t}, err
}

// expect returns the object at key, or ErrConflict unless it is at the expected version.
func (w *writing) expect(key registry.Key, expected int32) (registry.Object, error) {
	o, err := get(w.tx, key)
	if err == nil && o.Metadata.ResourceVersion != expected {
		return o, registry.ErrConflict
	}
	return o, err
}

// absent returns ErrExists if there is an object at key.
func (w *writing) absent(key registry.Key) error {
	_, err := get(w.tx, key)
	switch {
	case errors.Is(err, registry.ErrNotFound):
		return nil
	case err == nil:
		return registry.ErrExists
	}
	return err
}

func (w *writing) put(key registry.Key, record []byte) error {
	w.changed = true
	b, err := w.tx.CreateBucketIfNotExists([]byte(key.Kind))
	if err != nil {
		return err
	}
	if old := b.Get(boltKey(key)); old != nil {
		w.tally.remove(old)
	}
	w.tally.add(record)
	b.FillPercent = fill
	return b.Put(boltKey(key), record)
}

// fill is the fill level of split pages. Names are mostly written in order, so the half-full pages of
// bbolt's default would stay half full.
const fill = 0.85

// remove removes an existing object.
func (w *writing) remove(key registry.Key) error {
	w.changed = true
	b := w.tx.Bucket([]byte(key.Kind))
	w.tally.remove(b.Get(boltKey(key)))
	return b.Delete(boltKey(key))
}

// finish writes the header.
func (w *writing) finish() error {
	header, err := w.tx.CreateBucketIfNotExists(headerBucket)
	if err != nil {
		return err
	}
	if err := header.Put(schemaKey, []byte(schema)); err != nil {
		return err
	}
	return header.Put(contentsKey, w.tally.contents())
}
