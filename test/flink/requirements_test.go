package flink

import (
	"strings"
	"testing"

	"drey.dev/drey/test/flink/dist"
)

// TestMissing names what to install on a machine that has nothing.
func TestMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	missing := strings.Join(dist.Missing(), "\n")
	for _, want := range []string{"java: ", "javac: ", "jar: ", "bash: ", "pip: "} {
		if !strings.Contains(missing, want) {
			t.Errorf("%q is not listed:\n%s", want, missing)
		}
	}
}
