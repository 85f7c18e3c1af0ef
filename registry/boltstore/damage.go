package boltstore

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime/debug"
)

// DamageError says that a file is not as drey wrote it. Drey neither mends nor
// empties such a file: it refuses it, and leaves it as it is.
type DamageError struct {
	Path string
	What string // is wrong with it
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("%s is damaged: %s. It was left as it is. Stop drey and restore a backup: drey restore --data-dir %s BACKUP",
		e.Path, e.What, filepath.Dir(e.Path))
}

func damaged(path, format string, args ...any) error {
	return &DamageError{Path: path, What: fmt.Sprintf(format, args...)}
}

// guard runs f unless the store is broken, and breaks it if f panics.
func (s *Store) guard(f func() error) error {
	if damage := s.broken.Load(); damage != nil {
		return damage
	}
	err := guard(s.path, f)
	if p, ok := errors.AsType[*panicError](err); ok {
		s.broken.CompareAndSwap(nil, p.DamageError)
	}
	return err
}

// guard runs f, which reads the mapped file, and turns its panics into errors:
// bbolt trusts what its pages say, and panics or faults on one that is damaged
// while it is open. Before that, [check] has seen all of it.
func guard(path string, f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = &panicError{&DamageError{Path: path, What: fmt.Sprintf("reading it ended in: %v", p)}}
		}
	}()
	return f()
}

// panicError is damage that bbolt found by a panic.
type panicError struct{ *DamageError }

func (e *panicError) Unwrap() error { return e.DamageError }

// isDamage reports whether err says that the file is damaged.
func isDamage(err error) bool {
	_, ok := errors.AsType[*DamageError](err)
	return ok
}
