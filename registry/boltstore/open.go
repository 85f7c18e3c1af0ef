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

// ErrInUse is that another process has the file open.
var ErrInUse = errors.New("open in another process")

// Open opens the file at path, or makes it, readable by its owner only. It
// reads all of it first: the error is [ErrInUse] when another process has it
// open, and a [*DamageError] when it is not as drey wrote it. A file that a
// newer drey wrote is refused, too.
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
		return nil, errors.Join(fmt.Errorf("bring %s up to date: %w: nothing was changed%s", path, err, advice(err)), db.Close())
	}
	go s.run()
	return s, nil
}

// create makes an empty registry if there is no file. A file of no bytes is
// one that lost them, never one that has yet to be made: a new file appears
// with its header in it.
func create(path string) error {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return nil // Open says what is wrong with it, if anything is
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
		return fmt.Errorf("make %s: %w", path, err)
	}
	return syncDir(filepath.Dir(dir)) // the directory may be new
}

func options() *bbolt.Options {
	return &bbolt.Options{Timeout: patience, FreelistType: bbolt.FreelistMapType}
}

// mapped is how much address space the file gets. Until it is that long it is
// not mapped anew, for which writers would wait until all readers, a backup
// among them, have ended.
const mapped = 1 << 30

// step is by how much the file grows, in bytes.
const step = 256 << 10

// open takes the file's lock, checks the file, and only then lets bbolt read
// it.
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
		return db.View(func(tx *bbolt.Tx) error { // what bbolt knows of its format, and check does not
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

// upgrade brings a file of an older schema up to date.
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

const patience = time.Second // for a lock: a process that ends has it until then

// openLocked opens a file that is there, and holds its lock until it is closed:
// alone if it is opened for writing.
func openLocked(path string, flag int, mode os.FileMode) (*os.File, error) {
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		f, err := os.OpenFile(path, flag, mode) //nolint:gosec // the file that we are told of
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

// stillAt reports whether f is the file at path: a restore may have put another
// there before f was locked.
func stillAt(path string, f *os.File) bool {
	here, err := os.Stat(path)
	if err != nil {
		return false
	}
	opened, err := f.Stat()
	return err == nil && os.SameFile(here, opened)
}

func inUse(path string) error {
	return fmt.Errorf("%s is %w: stop the other drey, or give this one another --data-dir", path, ErrInUse)
}
