package flink

import (
	"strings"
	"testing"

	"drey.dev/drey/test/flink/dist"
)

// TestMissing lists all required programs with an empty PATH.
func TestMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	missing := strings.Join(dist.Missing(), "\n")
	for _, want := range []string{"java: ", "javac: ", "jar: ", "bash: ", "pip: "} {
		if !strings.Contains(missing, want) {
			t.Errorf("got %s\nwant %q in it", missing, want)
		}
	}
}
