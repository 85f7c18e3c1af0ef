package boltstore

import (
	"syscall"

	"go.etcd.io/bbolt"
)

// forget unmaps the file's pages from the memory of this process. They stay in the page cache, and are
// mapped again on access. During tx, bbolt does not remap the file.
func forget(tx *bbolt.Tx) {
	if size := tx.Size(); size <= mapped {
		// Best effort: without it, more memory is resident.
		_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, tx.DB().Info().Data, uintptr(size), syscall.MADV_DONTNEED) //nolint:gosec // a size is not negative
	}
}
