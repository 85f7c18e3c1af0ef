package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
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

// TestExplained: metrics.md explains each metric of metrics-list.md, and rest.md has each reason
// with its status.
func TestExplained(t *testing.T) {
	const root = "../.."
	pages, err := generate(root)
	if err != nil {
		t.Fatal(err)
	}
	metrics, err := os.ReadFile(filepath.Join(root, "docs/reference/metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile("`drey_[a-z_]+`")
	for _, name := range names.FindAllString(pages["docs/reference/metrics-list.md"], -1) {
		if !strings.Contains(string(metrics), name) {
			t.Errorf("metrics.md: no metric %s", name)
		}
	}
	for _, name := range names.FindAllString(string(metrics), -1) {
		if !strings.Contains(pages["docs/reference/metrics-list.md"], name) {
			t.Errorf("metrics.md: drey exports no metric %s", name)
		}
	}
	rest, err := os.ReadFile(filepath.Join(root, "docs/reference/rest.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows, err := restReasons(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if !regexp.MustCompile(`(?m)^\|[^|]*` + regexp.QuoteMeta(r[0]) + `[^|]*\| ` + r[1] + ` \|`).Match(rest) {
			t.Errorf("rest.md: no row of %s with the status %s", r[0], r[1])
		}
	}
}
