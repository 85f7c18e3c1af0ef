// Package boltstore is a registry.Store in a bbolt file, for a single process.
//
// Acknowledged writes are on disk. One goroutine, the committer, runs the transactions: writes
// that queue up during an fsync share the next transaction.
//
// Objects have checksums, and the header has their number. Open reads the whole file and refuses
// a damaged one.
package boltstore

import (
	"bytes"
	"context"
	"errors"
	"os"
	"sync"
	"sync/atomic"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"drey.dev/drey/registry"
)

// Store is an open file.
type Store struct {
	path   string
	db     *bbolt.DB
	file   *os.File                          // the file of db
	update func(func(*bbolt.Tx) error) error // db.Update; tests replace it
	feed   registry.Feed

	queue chan *commit
	done  chan struct{} // closed when the committer has returned

	mu     sync.RWMutex // guards queue against sends after Close
	closed bool

	unconfirmed bool          // of the committer: the last write is in the file, but maybe not on disk
	earlier     *atomic.Int64 // active readers from before the unconfirmed write
	readers     atomic.Pointer[atomic.Int64]

	// broken is set after a panic of bbolt, which may hold locks: all calls fail.
	broken atomic.Pointer[DamageError]
}

var _ registry.Store = (*Store)(nil)

// List implements registry.Store.
func (s *Store) List(ctx context.Context, kind registry.Kind, namespace string, _ registry.Consistency) ([]registry.Object, error) {
	var found []registry.Object
	err := s.view(ctx, func(tx *bbolt.Tx) (err error) {
		found, err = list(tx, kind, namespace)
		return err
	})
	return found, err
}

// Get implements registry.Store.
func (s *Store) Get(ctx context.Context, key registry.Key, _ registry.Consistency) (registry.Object, error) {
	var found registry.Object
	err := s.view(ctx, func(tx *bbolt.Tx) (err error) {
		found, err = get(tx, key)
		return err
	})
	return found, err
}

// Create implements registry.Store.
func (s *Store) Create(ctx context.Context, o registry.Object) (registry.Object, error) {
	o = o.Clone()
	o.Metadata.ResourceVersion = 1
	record, err := encode(o)
	if err != nil {
		return registry.Object{}, err
	}
	err = s.commit(ctx, func(w *writing) (*registry.Event, error) {
		if err := w.absent(o.Key()); err != nil {
			return nil, err
		}
		return &registry.Event{Change: registry.Added, Object: o}, w.put(o.Key(), record)
	})
	return o.Clone(), err
}

// Update implements registry.Store.
func (s *Store) Update(ctx context.Context, o registry.Object, expected int32) (registry.Object, error) {
	o = o.Clone()
	o.Metadata.ResourceVersion = registry.NextVersion(expected)
	record, err := encode(o)
	if err != nil {
		return registry.Object{}, err
	}
	err = s.commit(ctx, func(w *writing) (*registry.Event, error) {
		if _, err := w.expect(o.Key(), expected); err != nil {
			return nil, err
		}
		return &registry.Event{Change: registry.Modified, Object: o}, w.put(o.Key(), record)
	})
	return o.Clone(), err
}

// Delete implements registry.Store.
func (s *Store) Delete(ctx context.Context, key registry.Key, expected int32) error {
	return s.commit(ctx, func(w *writing) (*registry.Event, error) {
		current, err := w.expect(key, expected)
		if err != nil {
			return nil, err
		}
		return &registry.Event{Change: registry.Deleted, Object: current}, w.remove(key)
	})
}

// Watch implements registry.Store. The committer orders it among the writes.
func (s *Store) Watch(ctx context.Context, kind registry.Kind, observe func(registry.Event)) error {
	return s.enqueue(ctx, &commit{ctx: ctx, watch: func() error {
		// One object at a time: a list would dominate the memory of a large registry.
		err := s.view(ctx, func(tx *bbolt.Tx) error {
			defer forget(tx)
			return each(tx, kind, "", func(o registry.Object) { observe(registry.Event{Change: registry.Added, Object: o}) })
		})
		if err == nil {
			s.feed.Add(ctx, kind, nil, observe)
		}
		return err
	}})
}

// Capabilities implements registry.Store.
func (s *Store) Capabilities() registry.Capabilities {
	return registry.Capabilities{APITokens: true, ExactSpecs: true}
}

// Close waits for queued writes, ends all watches and closes the file.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	close(s.queue)
	s.mu.Unlock()
	<-s.done
	s.feed.Close()
	if damage := s.broken.Load(); damage != nil {
		return damage // closing would block
	}
	return s.db.Close()
}

func (s *Store) view(ctx context.Context, f func(*bbolt.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	readers := s.readers.Load()
	readers.Add(1)
	defer readers.Add(-1)
	err := s.guard(func() error { return s.db.View(f) })
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		return registry.ErrClosed
	}
	return err
}

func list(tx *bbolt.Tx, kind registry.Kind, namespace string) ([]registry.Object, error) {
	found := []registry.Object{}
	err := each(tx, kind, namespace, func(o registry.Object) { found = append(found, o) })
	return found, err
}

func each(tx *bbolt.Tx, kind registry.Kind, namespace string, f func(registry.Object)) error {
	b := tx.Bucket([]byte(kind))
	if b == nil {
		return nil
	}
	var prefix []byte
	if namespace != "" {
		prefix = append([]byte(namespace), 0)
	}
	c := b.Cursor()
	for k, v := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix); k, v = c.Next() {
		o, err := decode(tx.DB().Path(), kind, k, v)
		if err != nil {
			return err
		}
		f(o)
	}
	return nil
}

func get(tx *bbolt.Tx, key registry.Key) (registry.Object, error) {
	b := tx.Bucket([]byte(key.Kind))
	if b == nil {
		return registry.Object{}, registry.ErrNotFound
	}
	v := b.Get(boltKey(key))
	if v == nil {
		return registry.Object{}, registry.ErrNotFound
	}
	return decode(tx.DB().Path(), key.Kind, boltKey(key), v)
}
