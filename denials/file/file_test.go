package file

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"drey.dev/drey/denials"
)

// TestStore: a document survives a restart, a damaged file is replaced, and no temporary file
// stays.
func TestStore(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "denials")
	add := func(document denials.Document) denials.Document {
		document.Revision++
		document.Denials = append(document.Denials, denials.Denial{Name: "x", Last: time.Now()})
		return document
	}
	want := func(n int) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		err := New(path).Watch(ctx, func(d denials.Document) {
			if len(d.Denials) != n {
				t.Errorf("%d denials, want %d", len(d.Denials), n)
			}
			cancel()
		})
		if err != nil {
			t.Error(err)
		}
	}
	want(0)
	for range 2 {
		if err := New(path).Update(t.Context(), add); err != nil {
			t.Fatal(err)
		}
	}
	want(2)
	if err := os.WriteFile(path, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := New(path).Update(t.Context(), add); err != nil {
		t.Fatal(err)
	}
	want(1)
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("files %v, error %v", files, err)
	}
}
