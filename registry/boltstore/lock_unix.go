//go:build unix

package boltstore

import (
	"errors"
	"os"
	"syscall"
)

// tryLock takes the lock that bbolt takes as well: who holds a file open for
// writing has it alone. It reports whether it got it.
func tryLock(f *os.File, alone bool) (bool, error) {
	how := syscall.LOCK_SH
	if alone {
		how = syscall.LOCK_EX
	}
	err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}
