package boltstore

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
)

// errNothing rolls back a transaction without changes, which saves the fsync.
var errNothing = errors.New("nothing to write")

// transact runs a transaction and syncs it. inFile reports whether readers see the changes, which they
// may also after an error; see confirm.
func (s *Store) transact(f func(*writing) error) (inFile bool, err error) {
	if err := s.confirm(); err != nil {
		return false, err
	}
	var id int
	err = s.guard(func() error {
		return s.update(func(tx *bbolt.Tx) error {
			id = tx.ID()
			w, err := newWriting(tx)
			if err == nil {
				err = f(w)
			}
			switch {
			case err != nil:
				return err
			case !w.changed:
				return errNothing
			}
			return w.finish()
		})
	})
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, errNothing):
		return false, nil
	case isDamage(err):
		return false, err
	case id != 0 && id == s.lastID():
		s.unconfirmed = true
		s.earlier = s.readers.Swap(new(atomic.Int64))
		return true, fmt.Errorf("write %s: %w: the change may not survive a crash: it is readable, and is synced before the next write", s.path, err)
	}
	return false, fmt.Errorf("write %s: %w: nothing was changed: reads continue, and writes once the disk accepts them%s", s.path, err, advice(err))
}

// lastID returns the id of the last transaction in the file; 0 on an error.
func (s *Store) lastID() (id int) {
	_ = s.guard(func() error { return s.db.View(func(tx *bbolt.Tx) error { id = tx.ID(); return nil }) })
	return id
}

// confirm syncs the last transaction if its sync failed. bbolt commits by writing a meta page. If the
// sync of that page fails, the page is in the file, and the kernel may not write it back unless it is
// written again. Until it is on disk no transaction may follow, which could reuse pages that the disk
// still refers to.
func (s *Store) confirm() error {
	if !s.unconfirmed {
		return nil
	}
	page := make([]byte, s.db.Info().PageSize)
	at := int64(s.lastID()%2) * int64(len(page))
	_, err := s.file.ReadAt(page, at)
	if err == nil {
		_, err = s.file.WriteAt(page, at)
	}
	if err == nil {
		err = s.file.Sync()
	}
	if err != nil {
		return fmt.Errorf("write %s: %w: nothing was changed: an earlier change must be synced first%s", s.path, err, advice(err))
	}
	if err := s.awaitEarlier(); err != nil {
		return err
	}
	s.unconfirmed = false
	return nil
}

// awaitEarlier waits for the readers from before the unconfirmed write. bbolt considers that write
// rolled back, and would reuse pages that they need. Later readers see the unconfirmed write, and do
// not need these pages.
func (s *Store) awaitEarlier() error {
	for deadline := time.Now().Add(lockTimeout); s.earlier.Load() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("write %s: nothing was changed: a sync failed during a backup, which must end first", s.path)
		}
	}
	return nil
}

// advice returns the remedy for a failed write.
func advice(err error) string {
	switch {
	case isErrno(err, syscall.ENOSPC), isErrno(err, syscall.EDQUOT):
		return ": free some space"
	case isErrno(err, syscall.EFBIG):
		return ": raise the limit on the size of a file (ulimit -f)"
	}
	return ""
}

// isErrno also compares the text: bbolt does not wrap the error of a file that cannot grow.
func isErrno(err error, number syscall.Errno) bool {
	return errors.Is(err, number) || err != nil && strings.HasSuffix(err.Error(), ": "+number.Error())
}
