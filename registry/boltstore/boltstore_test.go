package boltstore_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.etcd.io/bbolt"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/boltstore"
	"drey.dev/drey/registry/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t testing.TB) registry.Store { return open(t, filepath.Join(t.TempDir(), "registry.db")) })
}

// TestReopen: a reopened file has all acknowledged writes.
func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "registry.db")
	s := open(t, path)
	var wait sync.WaitGroup
	for i := range 50 {
		wait.Go(func() {
			if _, err := s.Create(t.Context(), storetest.Target("default", fmt.Sprintf("target-%02d", i), "staging")); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	before, err := s.List(t.Context(), registry.DeploymentTarget, "", registry.Cached)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	after, err := open(t, path).List(t.Context(), registry.DeploymentTarget, "", registry.Cached)
	if err != nil {
		t.Fatal(err)
	}
	if len(after) != 50 || fmt.Sprint(before) != fmt.Sprint(after) {
		t.Errorf("before closing %d objects: %v\nafter %d: %v", len(before), before, len(after), after)
	}
}

// TestOpenInUse: a second process gets ErrInUse.
func TestOpenInUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "registry.db")
	open(t, path)
	_, err := boltstore.Open(path)
	if err == nil || !strings.Contains(err.Error(), "another process") || !strings.Contains(err.Error(), "--data-dir") {
		t.Errorf("got error %v, want one that says that another process has the file, and what to do", err)
	}
}

// TestOpenNewerSchema: a file of a newer schema is refused.
func TestOpenNewerSchema(t *testing.T) {
	path := filepath.Join(t.TempDir(), "registry.db")
	if err := open(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte("drey")).Put([]byte("schema"), []byte("99")) })
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := boltstore.Open(path); err == nil || !strings.Contains(err.Error(), `"99"`) {
		t.Errorf("got error %v, want one that names schema version 99", err)
	}
}

func BenchmarkCreate(b *testing.B) {
	for _, writers := range []int{1, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			s := open(b, filepath.Join(b.TempDir(), "registry.db"))
			b.SetParallelism(writers)
			var mu sync.Mutex
			n := 0
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					mu.Lock()
					n++
					name := fmt.Sprint("t", n)
					mu.Unlock()
					if _, err := s.Create(context.Background(), storetest.Target("default", name, "staging")); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

func open(t testing.TB, path string) *boltstore.Store {
	t.Helper()
	s, err := boltstore.Open(path)
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
