package page

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// Paths returns the paths of the pages below the root of the repository: README.md, the chart's
// README.md, and all pages in docs.
func Paths(root string) ([]string, error) {
	all := []string{"README.md", "manifests/chart/README.md"}
	err := filepath.WalkDir(filepath.Join(root, "docs"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".md" {
			return err
		}
		relative, err := filepath.Rel(root, path)
		all = append(all, relative)
		return err
	})
	if err == nil && len(all) < 20 {
		err = fmt.Errorf("found %d pages in docs, want more", len(all))
	}
	return all, err
}

// Read parses a page below the root of the repository.
func Read(root, path string) (Page, error) {
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		return Page{}, err
	}
	p, err := Parse(string(text))
	if err != nil {
		return Page{}, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

// CheckedBy returns the text of the blocks with the directive "checked by" for a test, by path and
// line. It returns an error if there is none.
func CheckedBy(root, test string) (map[string]string, error) {
	paths, err := Paths(root)
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for _, path := range paths {
		p, err := Read(root, path)
		if err != nil {
			return nil, err
		}
		for _, b := range p.Blocks {
			if slices.Contains(b.CheckedBy, test) {
				all[fmt.Sprintf("%s:%d", path, b.Line)] = b.Text
			}
		}
	}
	if len(all) == 0 {
		return nil, errors.New("no block has the directive checked by: " + test)
	}
	return all, nil
}

// Unchecked returns blocks of data, as path and line, that no test covers: a block with the content
// of a file that no later command of the page names, and one that has no directive "checked by".
func Unchecked(path string, p Page) (all []string) {
	for i, b := range p.Blocks {
		data := b.Language == "yaml" || b.Language == "yml" || b.Language == "json"
		if !data || b.CheckedBy != nil || b.File != "" && named(b.File, p.Blocks[i:]) {
			continue
		}
		all = append(all, fmt.Sprintf("%s:%d", path, b.Line))
	}
	return all
}

// named reports whether an executed command names a file, or its directory.
func named(file string, blocks []Block) bool {
	for _, b := range blocks {
		for _, c := range b.Commands {
			dir := filepath.Dir(file) + "/"
			if b.NotRun == "" && (strings.Contains(c.Text, file) || dir != "./" && strings.Contains(c.Text, dir)) {
				return true
			}
		}
	}
	return false
}

// Decode decodes YAML as the API server does with strict validation: unknown, misspelled and
// duplicate fields are errors.
func Decode(text string, into any) error {
	data, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		return err
	}
	strict, err := kjson.UnmarshalStrict(data, into)
	return errors.Join(append(strict, err)...)
}
