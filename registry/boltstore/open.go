package boltstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// ErrInUse means that another process has the file open.
var ErrInUse = errors.New("open in another process")

// Open opens the file at path, or creates it with mode 0600. It validates the whole file. The error is
// [ErrInUse] if another process has it open, and a [*DamageError] if it is damaged. Files of a newer
// schema are refused.
func Open(path string) (*Store, error) {
	if err := create(path); err != nil {
		return nil, err
	}
	db, file, err := open(path)
	if err != nil {
		return nil, err
	}
	s := &Store{path: path, db: db, file: file, update: db.Update, queue: make(chan *commit, maxBatch), done: make(chan struct{})}
	s.readers.Store(new(atomic.Int64))
	if err := s.upgrade(); err != nil {
		return nil, errors.Join(fmt.Errorf("upgrade %s: %w: nothing was changed%s", path, err, advice(err)), db.Close())
	}
	go s.run()
	return s, nil
}

// create creates an empty registry if there is no file. A new file appears with its header, so an empty
// file is a damaged one.
func create(path string) error {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return nil // Open validates it
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	_, err := Save(path, false, func(f *os.File) error {
		db, err := bbolt.Open(f.Name(), 0o600, options())
		if err != nil {
			return err
		}
		return errors.Join(db.Update(func(tx *bbolt.Tx) error { return (&writing{tx: tx}).finish() }), db.Close())
	})
	if errors.Is(err, fs.ErrExist) {
		return nil // another process was first
	}
	if err != nil {
		return fmt.Errorf("create %s: %w", path, err)
	}
	return syncDir(filepath.Dir(dir)) // the directory may be new
}

func options() *bbolt.Options {
	return &bbolt.Options{Timeout: lockTimeout, FreelistType: bbolt.FreelistMapType}
}

// mapped is the initial size of the mapping. Files up to this size are not remapped, for which writers
// would wait for all readers, including a backup.
const mapped = 1 << 30

// step is the increment of the file size, in bytes.
const step = 256 << 10

// open locks and checks the file before bbolt reads it.
func open(path string) (db *bbolt.DB, file *os.File, err error) {
	o := options()
	o.InitialMmapSize = mapped
	o.OpenFile = func(path string, flag int, mode os.FileMode) (*os.File, error) {
		f, err := openLocked(path, flag&^os.O_CREATE, mode)
		if err != nil {
			return nil, err
		}
		if _, err := check(path, f); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		file = f
		return f, nil
	}
	err = guard(path, func() (err error) {
		if db, err = bbolt.Open(path, 0o600, o); err != nil {
			return err
		}
		db.AllocSize = step
		return db.View(func(tx *bbolt.Tx) error { // finds format errors that check does not
			for problem := range tx.Check() {
				err = errors.Join(err, damaged(path, "%v", problem))
			}
			return err
		})
	})
	switch {
	case err == nil:
		return db, file, nil
	case errors.Is(err, bolterrors.ErrTimeout):
		err = inUse(path)
	case !isDamage(err) && !errors.Is(err, ErrInUse):
		err = fmt.Errorf("open %s: %w", path, err)
	}
	if db != nil {
		err = errors.Join(err, db.Close())
	}
	return nil, nil, err
}

// upgrade upgrades a file of an older schema.
func (s *Store) upgrade() error {
	var found string
	err := s.db.View(func(tx *bbolt.Tx) (err error) {
		found, _, err = readHeader(s.path, tx.Bucket(headerBucket).Get)
		return err
	})
	if err != nil || found == schema {
		return err
	}
	return s.db.Update(migrate)
}

const lockTimeout = time.Second // covers a process that is terminating

// openLocked opens an existing file with a lock, which is held until the file is closed: exclusive for
// writing, else shared.
func openLocked(path string, flag int, mode os.FileMode) (*os.File, error) {
	for deadline := time.Now().Add(lockTimeout); ; time.Sleep(20 * time.Millisecond) {
		f, err := os.OpenFile(path, flag, mode) //nolint:gosec // the path is configuration
		if err != nil {
			return nil, err
		}
		locked, err := tryLock(f, flag&os.O_RDWR != 0)
		if locked && stillAt(path, f) {
			return f, nil
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if time.Now().After(deadline) {
			return nil, inUse(path)
		}
	}
}

// stillAt reports whether f is the file at path. A restore may have replaced it before f was locked.
func stillAt(path string, f *os.File) bool {
	here, err := os.Stat(path)
	if err != nil {
		return false
	}
	opened, err := f.Stat()
	return err == nil && os.SameFile(here, opened)
}

func inUse(path string) error {
	return fmt.Errorf("%s is %w: stop the other drey, or use another --data-dir", path, ErrInUse)
}
