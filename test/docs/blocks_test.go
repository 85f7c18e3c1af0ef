package docs

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"drey.dev/drey/test/framework/page"
)

var testFunctions = regexp.MustCompile(`(?m)^func (Test\w+)\(`)

// TestBlocksChecked: a test reads every block of YAML and JSON. It is the file of a command that
// runs, or its directive "checked by" names a test of a package that calls page.CheckedBy.
func TestBlocksChecked(t *testing.T) {
	paths, err := page.Paths(root)
	if err != nil {
		t.Fatal(err)
	}
	tests, calls := map[string]string{}, map[string]bool{} // the directory of each test, and directories with a call
	walk(t, "_test.go", func(path, text string) {
		dir := filepath.Dir(path)
		calls[dir] = calls[dir] || strings.Contains(text, "page.CheckedBy(")
		for _, f := range testFunctions.FindAllStringSubmatch(text, -1) {
			if tests[f[1]] == "" || calls[dir] {
				tests[f[1]] = dir
			}
		}
	})
	for _, path := range paths {
		p, err := page.Read(root, path)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, block := range page.Unchecked(path, p) {
			t.Errorf("%s: no test checks the block: add <!-- checked by: TEST -->", block)
		}
		for _, b := range p.Blocks {
			for _, test := range b.CheckedBy {
				if !calls[tests[test]] {
					t.Errorf("%s:%d: %s is in no package that calls page.CheckedBy", path, b.Line, test)
				}
			}
		}
	}
}
