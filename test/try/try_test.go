package main

import (
	"strings"
	"testing"

	"drey.dev/drey/test/framework/drey"
)

// TestTry: all results of the demonstration are as expected.
func TestTry(t *testing.T) {
	const root = "../.."
	program, err := drey.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(root)
	var out strings.Builder
	if err := run(t.Context(), program, &out); err != nil {
		t.Errorf("%v\n%s", err, &out)
	}
}
