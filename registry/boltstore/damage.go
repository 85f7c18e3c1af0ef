package boltstore

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime/debug"
)

// DamageError means that a file is damaged. Drey does not repair or change it.
type DamageError struct {
	Path string
	What string // the damage
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("%s is damaged: %s: the file was not changed: stop drey and restore a backup: drey restore --data-dir %s BACKUP",
		e.Path, e.What, filepath.Dir(e.Path))
}

func damaged(path, format string, args ...any) error {
	return &DamageError{Path: path, What: fmt.Sprintf(format, args...)}
}

// guard runs f unless the store is broken, and marks the store as broken if f panics.
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

// guard runs f, which reads the mapped file, and converts its panics and faults to errors: bbolt does
// not validate pages, which may be damaged after check has validated them.
func guard(path string, f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = &panicError{&DamageError{Path: path, What: fmt.Sprintf("panic while reading: %v", p)}}
		}
	}()
	return f()
}

// panicError is a DamageError from a panic of bbolt.
type panicError struct{ *DamageError }

func (e *panicError) Unwrap() error { return e.DamageError }

// isDamage reports whether err is a DamageError.
func isDamage(err error) bool {
	_, ok := errors.AsType[*DamageError](err)
	return ok
}
