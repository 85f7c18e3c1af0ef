// Package docs holds the documents against the tree: what they name has to be there.
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

func TestWhatDocumentsNameIsThere(t *testing.T) {
	known := sources(t)
	for file, text := range documents(t) {
		for _, link := range links.FindAllStringSubmatch(text, -1) {
			path, anchor, _ := strings.Cut(link[1], "#")
			if strings.Contains(link[1], "://") {
				continue
			}
			there := file
			if path != "" {
				there = filepath.Join(filepath.Dir(file), path)
			}
			info, err := os.Stat(there)
			switch {
			case err != nil:
				t.Errorf("%s links to %s, which is not there", file, link[1])
			case anchor != "" && !info.IsDir() && !slices.Contains(anchors(t, there), anchor):
				t.Errorf("%s links to %s, which has no such heading", file, link[1])
			}
		}
		for _, name := range tests.FindAllStringSubmatch(text, -1) {
			if !strings.Contains(known, "func "+name[1]+"(") {
				t.Errorf("%s speaks of %s, and there is no such test", file, name[1])
			}
		}
		for _, path := range paths.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join(root, path[1])); err != nil && !strings.Contains(path[1], "...") {
				t.Errorf("%s speaks of %s, which is not there", file, path[1])
			}
		}
		for _, target := range targets.FindAllStringSubmatch(text, -1) {
			if !strings.Contains(known, "\n"+target[1]+":") {
				t.Errorf("%s speaks of make %s, and there is no such target", file, target[1])
			}
		}
	}
}

// documents are all that are written for people, by their path.
func documents(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	walk(t, ".md", func(path, text string) { all[path] = text })
	if len(all) < 15 {
		t.Fatalf("only %d documents were found", len(all))
	}
	return all
}

// sources are all tests, and the Makefile.
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

// anchors are those that a document's headings have where it is shown.
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
