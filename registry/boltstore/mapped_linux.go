package boltstore

import (
	"syscall"

	"go.etcd.io/bbolt"
)

// forget takes the file's pages out of the memory of this process, after all of them
// were read once. They stay in the system's page cache, from which they come back one
// by one as they are needed. Within tx bbolt does not map the file anew.
func forget(tx *bbolt.Tx) {
	if size := tx.Size(); size <= mapped {
		// It is advice: where it is not taken, more memory is resident.
		_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, tx.DB().Info().Data, uintptr(size), syscall.MADV_DONTNEED) //nolint:gosec // a size is not negative
	}
}
