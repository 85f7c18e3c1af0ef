// Package docs tests that files, tests and make targets that the documents name exist.
package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

var (
	links   = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	tests   = regexp.MustCompile("`(Test[A-Za-z]+)`")
	paths   = regexp.MustCompile("`((?:cmd|registry|webhook|manifests|certs|test|docs)/[A-Za-z0-9_./-]+)`")
	targets = regexp.MustCompile("`make ([a-z-]+)`")
)

// TestReferences: links, anchors, tests, paths and make targets in documents exist.
func TestReferences(t *testing.T) {
	known := sources(t)
	for file, text := range documents(t) {
		for _, link := range links.FindAllStringSubmatch(text, -1) {
			path, anchor, _ := strings.Cut(link[1], "#")
			if strings.Contains(link[1], "://") {
				continue
			}
			linked := file
			if path != "" {
				linked = filepath.Join(filepath.Dir(file), path)
			}
			info, err := os.Stat(linked)
			switch {
			case err != nil:
				t.Errorf("%s: broken link %s", file, link[1])
			case anchor != "" && !info.IsDir() && !slices.Contains(anchors(t, linked), anchor):
				t.Errorf("%s: no heading for link %s", file, link[1])
			}
		}
		for _, name := range tests.FindAllStringSubmatch(text, -1) {
			if !strings.Contains(known, "func "+name[1]+"(") {
				t.Errorf("%s: no test %s", file, name[1])
			}
		}
		for _, path := range paths.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join(root, path[1])); err != nil && !strings.Contains(path[1], "...") {
				t.Errorf("%s: no file %s", file, path[1])
			}
		}
		for _, target := range targets.FindAllStringSubmatch(text, -1) {
			if !strings.Contains(known, "\n"+target[1]+":") {
				t.Errorf("%s: no target make %s", file, target[1])
			}
		}
	}
}

// documents returns all Markdown files by path.
func documents(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	walk(t, ".md", func(path, text string) { all[path] = text })
	if len(all) < 15 {
		t.Fatalf("found only %d documents", len(all))
	}
	return all
}

// sources returns the text of all tests and the Makefile.
func sources(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	walk(t, "_test.go", func(_, text string) { all.WriteString(text) })
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	all.WriteString("\n" + string(makefile))
	return all.String()
}

func walk(t *testing.T, suffix string, found func(path, text string)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "bin"):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, suffix):
			return nil
		}
		text, err := os.ReadFile(path)
		found(path, string(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// anchors returns the anchors of a document's headings, as GitHub derives them.
func anchors(t *testing.T, path string) (all []string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	drop := regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	for line := range strings.Lines(string(text)) {
		if heading := strings.TrimLeft(line, "#"); heading != line && strings.HasPrefix(heading, " ") {
			all = append(all, strings.ReplaceAll(drop.ReplaceAllString(strings.ToLower(strings.TrimSpace(heading)), ""), " ", "-"))
		}
	}
	return all
}
