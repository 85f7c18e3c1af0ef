// Package boltstore is a registry.Store in one bbolt file, for a drey that
// runs alone.
//
// Every acknowledged write is on disk. One goroutine commits: what queues up
// while it waits for the disk goes into its next transaction, so that
// concurrent writers share one fsync and a lone writer never waits for others.
package boltstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"drey.dev/drey/registry"
)

// Store is an open file.
type Store struct {
	db   *bbolt.DB
	feed registry.Feed

	queue chan *commit
	done  chan struct{} // closed when the committer has ended

	mu     sync.RWMutex // guards queue against sends after Close
	closed bool
}

var _ registry.Store = (*Store)(nil)

// Open opens the file at path, or makes it, readable by its owner only. It
// fails when another process has the file open, and when a newer drey wrote
// it.
func Open(path string) (*Store, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second, FreelistType: bbolt.FreelistMapType})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("%s is open in another process: stop the other drey, or give this one another --data-dir", path)
	case err != nil:
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	if err := db.Update(prepare); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), db.Close())
	}
	s := &Store{db: db, queue: make(chan *commit, maxBatch), done: make(chan struct{})}
	go s.run()
	return s, nil
}

var (
	metaBucket = []byte("drey")
	schemaKey  = []byte("schema")
)

// schema is the version of the file's layout: a bucket per kind, a key
// "<namespace>\x00<name>", a value of JSON.
const schema = "1"

func prepare(tx *bbolt.Tx) error {
	meta, err := tx.CreateBucketIfNotExists(metaBucket)
	if err != nil {
		return err
	}
	switch found := string(meta.Get(schemaKey)); found {
	case schema:
		return nil
	case "":
		return meta.Put(schemaKey, []byte(schema))
	default:
		return fmt.Errorf("the file has schema version %q and this drey knows %q: use the drey that wrote it, or a newer one", found, schema)
	}
}

// List implements registry.Store.
func (s *Store) List(ctx context.Context, kind registry.Kind, namespace string) ([]registry.Object, error) {
	var found []registry.Object
	err := s.view(ctx, func(tx *bbolt.Tx) (err error) {
		found, err = list(tx, kind, namespace)
		return err
	})
	return found, err
}

// Get implements registry.Store.
func (s *Store) Get(ctx context.Context, key registry.Key) (registry.Object, error) {
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
	err := s.commit(ctx, func(tx *bbolt.Tx) (*registry.Event, error) {
		switch _, err := get(tx, o.Key()); {
		case err == nil:
			return nil, registry.ErrExists
		case !errors.Is(err, registry.ErrNotFound):
			return nil, err
		}
		return &registry.Event{Change: registry.Added, Object: o}, put(tx, o)
	})
	return o.Clone(), err
}

// Update implements registry.Store.
func (s *Store) Update(ctx context.Context, o registry.Object, expected int32) (registry.Object, error) {
	o = o.Clone()
	o.Metadata.ResourceVersion = expected + 1
	err := s.commit(ctx, func(tx *bbolt.Tx) (*registry.Event, error) {
		if _, err := getVersion(tx, o.Key(), expected); err != nil {
			return nil, err
		}
		return &registry.Event{Change: registry.Modified, Object: o}, put(tx, o)
	})
	return o.Clone(), err
}

// Delete implements registry.Store.
func (s *Store) Delete(ctx context.Context, key registry.Key, expected int32) error {
	return s.commit(ctx, func(tx *bbolt.Tx) (*registry.Event, error) {
		current, err := getVersion(tx, key, expected)
		if err != nil {
			return nil, err
		}
		return &registry.Event{Change: registry.Deleted, Object: current}, tx.Bucket([]byte(key.Kind)).Delete(boltKey(key))
	})
}

// Watch implements registry.Store. It passes through the committer, which
// orders it among the writes.
func (s *Store) Watch(ctx context.Context, kind registry.Kind, observe func(registry.Event)) error {
	return s.enqueue(ctx, &commit{ctx: ctx, watch: func() error {
		present, err := s.List(ctx, kind, "")
		if err == nil {
			s.feed.Add(ctx, kind, present, observe)
		}
		return err
	}})
}

// Close waits for the writes under way, ends all watches and closes the file.
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
	return s.db.Close()
}

func (s *Store) view(ctx context.Context, f func(*bbolt.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := s.db.View(f)
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		return registry.ErrClosed
	}
	return err
}

func list(tx *bbolt.Tx, kind registry.Kind, namespace string) ([]registry.Object, error) {
	found := []registry.Object{}
	b := tx.Bucket([]byte(kind))
	if b == nil {
		return found, nil
	}
	var prefix []byte
	if namespace != "" {
		prefix = append([]byte(namespace), 0)
	}
	c := b.Cursor()
	for k, v := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix); k, v = c.Next() {
		o, err := decode(v)
		if err != nil {
			return nil, err
		}
		found = append(found, o)
	}
	return found, nil
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
	return decode(v)
}

func getVersion(tx *bbolt.Tx, key registry.Key, expected int32) (registry.Object, error) {
	o, err := get(tx, key)
	if err == nil && o.Metadata.ResourceVersion != expected {
		return o, registry.ErrConflict
	}
	return o, err
}

func put(tx *bbolt.Tx, o registry.Object) error {
	b, err := tx.CreateBucketIfNotExists([]byte(o.Kind))
	if err != nil {
		return err
	}
	v, err := jsonv2.Marshal(o, jsontext.PreserveRawStrings(true))
	if err != nil {
		return err
	}
	return b.Put(boltKey(o.Key()), v)
}

// boltKey orders objects by namespace, then name: no name holds a NUL.
func boltKey(key registry.Key) []byte {
	return []byte(key.Namespace + "\x00" + key.Name)
}

func decode(v []byte) (registry.Object, error) {
	var o registry.Object
	if err := jsonv2.Unmarshal(v, &o); err != nil {
		return o, fmt.Errorf("an object in the file is not readable: %w", err)
	}
	return o, nil
}
