package docs

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDecisionNumbers: each decision note has a number of its own, the same in its file name and
// in its heading.
func TestDecisionNumbers(t *testing.T) {
	file := regexp.MustCompile(`^0*(\d+)-[a-z0-9-]+\.md$`)
	names := map[string]string{} // by number
	for path, text := range documents(t) {
		if filepath.Base(filepath.Dir(path)) != "decisions" {
			continue
		}
		name := filepath.Base(path)
		found := file.FindStringSubmatch(name)
		if found == nil {
			t.Errorf("%s: want a name such as 001-title.md", path)
			continue
		}
		number := found[1]
		if other, ok := names[number]; ok {
			t.Errorf("%s and %s have the number %s: give one the next free number", name, other, number)
		}
		names[number] = name
		if want := fmt.Sprintf("# %s. ", number); !strings.HasPrefix(text, want) {
			t.Errorf("%s: the heading does not begin with %q", path, want)
		}
	}
	if len(names) < 15 {
		t.Fatalf("found only %d decision notes", len(names))
	}
}
