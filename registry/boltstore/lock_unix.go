//go:build unix

package boltstore

import (
	"errors"
	"os"
	"syscall"
)

// tryLock tries to take the lock that bbolt takes too: exclusive or shared. It reports whether it did.
func tryLock(f *os.File, exclusive bool) (bool, error) {
	how := syscall.LOCK_SH
	if exclusive {
		how = syscall.LOCK_EX
	}
	err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}
