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

// errNothing ends a transaction that has nothing to write: it costs no fsync.
var errNothing = errors.New("nothing to write")

// transact runs a transaction and brings it to disk. It reports whether what
// was written is in the file, as those who read it see it: with an error it
// usually is not, but see confirm.
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
		return true, fmt.Errorf("write %s: %w: it is not known whether the change would survive a crash. It can be read, and is confirmed before the next one", s.path, err)
	}
	return false, fmt.Errorf("write %s: %w: nothing was changed. What is there can be read, and writes go on once the disk takes them%s", s.path, err, advice(err))
}

// lastID is the id of the last transaction in the file.
func (s *Store) lastID() (id int) {
	_ = s.guard(func() error { return s.db.View(func(tx *bbolt.Tx) error { id = tx.ID(); return nil }) }) // 0 is none
	return id
}

// confirm brings the last transaction to disk if that failed when it was
// written. bbolt ends a transaction by writing the page that refers to its
// pages; if that page cannot be synced it is in the file nevertheless, and the
// kernel may not try again to write it unless it is written again. Until it is
// on disk no other may follow, which could use pages that the disk still needs.
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
		return fmt.Errorf("write %s: %w: nothing was changed. An earlier change has to reach the disk first%s", s.path, err, advice(err))
	}
	if err := s.awaitEarlier(); err != nil {
		return err
	}
	s.unconfirmed = false
	return nil
}

// awaitEarlier waits for those who read what was there before the unconfirmed
// write: bbolt, which takes it for one that did not happen, forgets that they
// need its pages, and would use them again. A reader that begins later sees the
// unconfirmed write, and needs none of them.
func (s *Store) awaitEarlier() error {
	for deadline := time.Now().Add(patience); s.earlier.Load() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("write %s: nothing was changed. The disk failed during a backup, which has to end first", s.path)
		}
	}
	return nil
}

// advice is what to do about a failed write.
func advice(err error) string {
	switch {
	case isErrno(err, syscall.ENOSPC), isErrno(err, syscall.EDQUOT):
		return ": free some space"
	case isErrno(err, syscall.EFBIG):
		return ": raise the limit on the size of a file (ulimit -f)"
	}
	return ""
}

// isErrno looks at the text, too: what bbolt says of a file that cannot grow
// wraps nothing.
func isErrno(err error, number syscall.Errno) bool {
	return errors.Is(err, number) || err != nil && strings.HasSuffix(err.Error(), ": "+number.Error())
}
