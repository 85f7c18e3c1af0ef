package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const output = `?   	drey.dev/drey/manifests	[no test files]
	drey.dev/drey/cmd/drey		coverage: 0.0% of statements
ok  	drey.dev/drey/webhook	3.3s	coverage: 95.3% of statements
ok  	drey.dev/drey/registry	(cached)	coverage: 78.0% of statements
ok  	drey.dev/drey/test/docs	0.1s	coverage: [no statements]
`

// all is the output of go tool covdata percent.
const all = `	drey.dev/drey/registry		coverage: 91.0% of statements
	drey.dev/drey/webhook		coverage: 95.0% of statements
`

func TestRun(t *testing.T) {
	for rule, c := range map[string]struct {
		output, all, floors, want string
	}{
		"at the floor":              {output, all, "registry 78 91\nwebhook 95 95\n", ""},
		"below the floor":           {output, "", "registry 79 0\nwebhook 95 0\n", "registry: coverage 78.0 % of unit tests is below its floor of 79 %"},
		"all below the floor":       {output, all, "registry 78 92\n", "registry: coverage 91.0 % of all tests is below its floor of 92 %"},
		"only unit tests":           {output, "", "registry 78 92\n", ""},
		"all tests cover the units": {output, all, "webhook 95 95\n", ""},
		"tests not run":             {output, "", "certs 10 0\n", "certs: no coverage"},
		"tests failed":              {output + "--- FAIL: TestX (0.00s)\nFAIL\tdrey.dev/drey/certs\t0.1s\n", "", "registry 78 0\n", "tests failed"},
		"build failed":              {output + "FAIL\tdrey.dev/drey/certs [build failed]\n", "", "registry 78 0\n", "tests failed"},
		"malformed floors":          {output, "", "registry 78\n", "want a package and two percentages"},
	} {
		t.Run(rule, func(t *testing.T) {
			o := options{floors: write(t, c.floors)}
			if c.all != "" {
				o.all = write(t, c.all)
			}
			var out bytes.Buffer
			err := run(strings.NewReader(c.output), &out, o)
			if c.want == "" && (err != nil || !strings.Contains(out.String(), "webhook ")) {
				t.Errorf("got %v\n%s", err, &out)
			}
			if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

// TestUpdate: floors rise with the coverage, and fall only with -lower.
func TestUpdate(t *testing.T) {
	for rule, c := range map[string]struct {
		floors, want string
		lower        bool
	}{
		"new":          {"", "registry 77 90\nwebhook 94 94\n", false},
		"raised":       {"registry 70 80\nwebhook 94 94\n", "registry 77 90\nwebhook 94 94\n", false},
		"not lowered":  {"registry 78 95\nwebhook 94 94\n", "registry 78 95\nwebhook 94 94\n", false},
		"lowered":      {"registry 78 95\nwebhook 94 94\n", "registry 77 90\nwebhook 94 94\n", true},
		"package gone": {"certs 10 10\n", "registry 77 90\nwebhook 94 94\n", false},
	} {
		t.Run(rule, func(t *testing.T) {
			o := options{floors: write(t, c.floors), all: write(t, all), update: true, lower: c.lower}
			if err := run(strings.NewReader(output), &bytes.Buffer{}, o); err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(o.floors); err != nil || string(got) != c.want {
				t.Errorf("got %q, %v, want %q", got, err, c.want)
			}
		})
	}
}

// write writes a file, and returns its path.
func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file.txt")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
