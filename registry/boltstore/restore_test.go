//go:build linux

package boltstore_test

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"drey.dev/drey/registry/boltstore"
)

// TestRestoreFailureKeepsPrevious: a restore that fails at its end keeps the previous file.
func TestRestoreFailureKeepsPrevious(t *testing.T) {
	if !inOwnProcess(t, &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER, // root would open it nevertheless, and is not root there
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 1000, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 1000, HostID: os.Getgid(), Size: 1}},
	}) {
		return
	}
	backup, path := filled(t), other(t)
	before := readFile(t, path)
	dir := filepath.Dir(path)
	if err := os.Chmod(dir, 0o300); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(dir, 0o700)
	previous, _, err := boltstore.Restore(path, backup)
	if err == nil {
		t.Fatal("no error: nothing was tested")
	}
	if !bytes.Equal(readFile(t, path), readFile(t, backup)) {
		t.Fatalf("the backup is not in its place: nothing was tested: %v", err)
	}
	if previous == "" || !bytes.Equal(readFile(t, previous), before) {
		t.Errorf("the previous file is not whole at %q: %v", previous, err)
	}
}
