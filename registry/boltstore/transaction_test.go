package boltstore

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/storetest"
)

// TestConfirmBeforeNextWrite: an unconfirmed write is confirmed before the next.
func TestConfirmBeforeNextWrite(t *testing.T) {
	s := openForTest(t)
	var observed []string
	if err := s.Watch(t.Context(), registry.DeploymentTarget, func(e registry.Event) {
		observed = append(observed, string(e.Change)+" "+e.Object.Metadata.Name)
	}); err != nil {
		t.Fatal(err)
	}
	failAfterCommit(s)
	first := storetest.Target("default", "first", "staging")
	_, err := s.Create(t.Context(), first)
	wantSays(t, err, "input/output error", "the change may not survive a crash", "is readable")
	if _, err := s.Get(t.Context(), first.Key(), registry.Cached); err != nil {
		t.Errorf("it cannot be read: %v", err)
	}

	// What confirms it fails as well: no write may follow, not even one that
	// is refused, which could be refused because of the first.
	file := s.file
	s.file = readOnly(t, s.path)
	for range 2 {
		_, err = s.Create(t.Context(), storetest.Target("default", "second", "staging"))
		wantSays(t, err, "nothing was changed", "earlier change must be synced first")
		_, err = s.Create(t.Context(), first)
		wantSays(t, err, "nothing was changed")
	}
	if _, err := s.Get(t.Context(), registry.Key{Kind: first.Kind, Namespace: "default", Name: "second"}, registry.Cached); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("a write followed one that was not confirmed: %v", err)
	}

	s.file = file
	if _, err := s.Create(t.Context(), storetest.Target("default", "third", "staging")); err != nil {
		t.Errorf("with a disk that works again: %v", err)
	}
	if _, err := s.Create(t.Context(), first); !errors.Is(err, registry.ErrExists) {
		t.Errorf("the first write is not there: %v", err)
	}
	if got := strings.Join(observed, ", "); got != "Added first, Added third" {
		t.Errorf("observed %s", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if contents, err := Check(s.path); err != nil || contents[registry.DeploymentTarget] != 2 {
		t.Errorf("Check finds %v, %v, want 2 DeploymentTargets", contents, err)
	}
}

// TestConfirmRewritesMetaPage: a confirmation writes the meta page again.
func TestConfirmRewritesMetaPage(t *testing.T) {
	s := openForTest(t)
	for i := range 2 { // the last page is the first of the file, and the second
		failAfterCommit(s)
		if _, err := s.Create(t.Context(), storetest.Target("default", fmt.Sprint("t", i), "staging")); err == nil {
			t.Fatal("no error")
		}
		long := time.Now().Add(-time.Hour)
		if err := os.Chtimes(s.path, long, long); err != nil {
			t.Fatal(err)
		}
		before := firstPages(t, s)
		if err := s.confirm(); err != nil || s.unconfirmed {
			t.Fatalf("confirm: %v, still to be confirmed: %v", err, s.unconfirmed)
		}
		info, err := os.Stat(s.path)
		if err != nil {
			t.Fatal(err)
		}
		if !info.ModTime().After(long.Add(time.Minute)) {
			t.Error("nothing was written")
		}
		if after := firstPages(t, s); !bytes.Equal(before, after) {
			t.Error("the first pages are others now")
		}
	}
}

// TestFailedWriteUnconfirmed: a write that fails before it is in the file needs no confirmation.
func TestFailedWriteUnconfirmed(t *testing.T) {
	s := openForTest(t)
	s.update = func(f func(*bbolt.Tx) error) error {
		return s.db.Update(func(tx *bbolt.Tx) error {
			if err := f(tx); err != nil {
				return err
			}
			return syscall.ENOSPC
		})
	}
	o := storetest.Target("default", "first", "staging")
	_, err := s.Create(t.Context(), o)
	wantSays(t, err, "nothing was changed", "free some space")
	if s.unconfirmed {
		t.Error("it is to be confirmed")
	}
	s.update = s.db.Update
	if _, err := s.Create(t.Context(), o); err != nil {
		t.Error(err)
	}
}

// failAfterCommit lets one transaction get into the file and says that the disk
// failed.
func failAfterCommit(s *Store) {
	s.update = func(f func(*bbolt.Tx) error) error {
		s.update = s.db.Update
		if err := s.db.Update(f); err != nil {
			return err
		}
		return syscall.EIO
	}
}

func openForTest(t *testing.T) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "registry.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// firstPages are the pages that say where everything is.
func firstPages(t *testing.T, s *Store) []byte {
	t.Helper()
	pages := make([]byte, 2*s.db.Info().PageSize)
	if _, err := s.file.ReadAt(pages, 0); err != nil {
		t.Fatal(err)
	}
	return pages
}

// wantSays fails unless err has all of the parts.
func wantSays(t *testing.T, err error, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("got error %v, want one that says %q", err, part)
		}
	}
}

// readOnly is a file that can be read, and not written.
func readOnly(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// TestGrowDiskFull: a file that cannot grow is reported with a remedy.
func TestGrowDiskFull(t *testing.T) {
	for number, advice := range map[syscall.Errno]string{syscall.ENOSPC: "free some space", syscall.EDQUOT: "free some space", syscall.EFBIG: "raise the limit"} {
		for what, err := range map[string]error{
			"grow":  fmt.Errorf("file resize error: %s", &os.PathError{Op: "truncate", Path: "registry.db", Err: number}), //nolint:errorlint // as bbolt does
			"write": &os.PathError{Op: "write", Path: "registry.db", Err: number},
		} {
			s := openForTest(t)
			s.update = func(func(*bbolt.Tx) error) error { return err }
			_, err := s.Create(t.Context(), storetest.Target("default", what, "staging"))
			wantSays(t, err, "nothing was changed", advice)
		}
	}
}
