package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestPages compares the generated pages with the source.
func TestPages(t *testing.T) {
	const root = "../.."
	pages, err := generate(root)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range pages {
		got, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("%s is out of date: run make docs", path)
		}
	}
}
