package boltstore

import (
	"fmt"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"go.etcd.io/bbolt"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/storetest"
)

// TestSnapshotUnconfirmedWrite: a reader keeps its snapshot during an unconfirmed write.
func TestSnapshotUnconfirmedWrite(t *testing.T) {
	s := openForTest(t)
	for i := range 30 {
		if _, err := s.Create(t.Context(), storetest.Target("default", fmt.Sprint("t", i), strings.Repeat("x", 900))); err != nil {
			t.Fatal(err)
		}
	}
	create := func(name string) error {
		_, err := s.Create(t.Context(), storetest.Target("default", name, strings.Repeat("y", 900)))
		return err
	}
	err := s.view(t.Context(), func(tx *bbolt.Tx) error {
		before, err := list(tx, registry.DeploymentTarget, "")
		if err != nil {
			return err
		}
		failNextMeta(s)
		_, err = s.Update(t.Context(), storetest.Target("default", "t7", "other"), 1)
		wantSays(t, err, "the change may not survive a crash")
		wantSays(t, create("too-early"), "nothing was changed", "must end first")
		if later, err := s.List(t.Context(), registry.DeploymentTarget, "", registry.Cached); err != nil || len(later) != 30 {
			t.Errorf("a new reader gets %d objects, %v, want 30", len(later), err)
		}
		after, err := list(tx, registry.DeploymentTarget, "")
		if err != nil {
			return err
		}
		if fmt.Sprint(before) != fmt.Sprint(after) {
			t.Error("the reader reads something else now")
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	for i := range 50 {
		if err := create(fmt.Sprint("later", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if contents, err := Check(s.path); err != nil || contents[registry.DeploymentTarget] != 80 {
		t.Errorf("Check finds %v, %v, want 80 objects", contents, err)
	}
}

// failNextMeta makes bbolt's next write of the page that ends a transaction
// fail after it was written, as when it cannot be synced.
func failNextMeta(s *Store) {
	ops := reflect.ValueOf(s.db).Elem().FieldByName("ops").FieldByName("writeAt")
	writeAt := reflect.NewAt(ops.Type(), unsafe.Pointer(ops.UnsafeAddr())).Interface().(*func([]byte, int64) (int, error))
	unspoilt := *writeAt
	*writeAt = func(b []byte, at int64) (int, error) {
		n, err := unspoilt(b, at)
		if at < int64(2*s.db.Info().PageSize) {
			*writeAt = unspoilt
			return n, syscall.EIO
		}
		return n, err
	}
}
