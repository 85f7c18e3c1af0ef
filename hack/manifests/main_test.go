package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

const tree = "../../manifests"

// TestManifestsUpToDate compares what the program writes with the tree.
func TestManifestsUpToDate(t *testing.T) {
	files, err := generate(tree)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range files {
		got, err := os.ReadFile(filepath.Join(tree, path))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("manifests/%s is out of date (%v): run make manifests", path, err)
		}
	}
}
