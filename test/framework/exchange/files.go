package exchange

import (
	"path/filepath"
	"testing"
)

// Files returns the paths of the exchanges in a directory. It fails the test if there are
// none.
func Files(t testing.TB, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.http"))
	if err != nil || len(files) == 0 {
		t.Fatalf("list the exchanges in %q: got %d, %v", dir, len(files), err)
	}
	return files
}
