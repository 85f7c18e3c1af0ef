package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestSlowTests checks that make test-full runs each test that make test skips by its name.
func TestSlowTests(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	names := strings.Split(match(t, string(text), `(?m)^SLOW_TESTS +:= \^\((\S+)\)\$\$$`), "|")
	full := []string{"./test/cel"}
	full = append(full, strings.Fields(match(t, string(text), `(?m)^\tgo test .*-run '\$\(SLOW_TESTS\)' (\./.*)$`))...)
	found := map[string]bool{}
	functions := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	walk(t, "_test.go", func(path, text string) {
		dir, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			t.Fatal(err)
		}
		for _, function := range functions.FindAllStringSubmatch(text, -1) {
			if !slices.Contains(names, function[1]) {
				continue
			}
			found[function[1]] = true
			if !slices.Contains(full, "./"+filepath.ToSlash(dir)) {
				t.Errorf("make test skips %s of %s, and make test-full does not run it", function[1], dir)
			}
		}
	})
	for _, name := range names {
		if !found[name] {
			t.Errorf("Makefile: SLOW_TESTS: no test %q", name)
		}
	}
}

// match returns the only group of the only match of a pattern.
func match(t *testing.T, text, pattern string) string {
	t.Helper()
	all := regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1)
	if len(all) != 1 {
		t.Fatalf("Makefile: %d lines match %s, want 1", len(all), pattern)
	}
	return all[0][1]
}
