//go:build !unix

package boltstore

import "os"

// tryLock does nothing: bbolt locks the file.
func tryLock(*os.File, bool) (bool, error) { return true, nil }
