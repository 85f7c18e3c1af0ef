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

func TestRun(t *testing.T) {
	for rule, c := range map[string]struct{ output, floors, want string }{
		"at the floor":     {output, "registry 78\nwebhook 95\n", ""},
		"below the floor":  {output, "registry 79\nwebhook 95\n", "registry: coverage 78.0 % is below its floor of 79 %"},
		"tests not run":    {output, "certs 10\n", "certs: no coverage"},
		"tests failed":     {output + "--- FAIL: TestX (0.00s)\nFAIL\tdrey.dev/drey/certs\t0.1s\n", "registry 78\n", "tests failed"},
		"build failed":     {output + "FAIL\tdrey.dev/drey/certs [build failed]\n", "registry 78\n", "tests failed"},
		"malformed floors": {output, "registry\n", "want a package and a percentage"},
	} {
		t.Run(rule, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "floors.txt")
			if err := os.WriteFile(path, []byte(c.floors), 0o600); err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			err := run(strings.NewReader(c.output), &out, path, false)
			if c.want == "" && (err != nil || !strings.Contains(out.String(), "webhook ")) {
				t.Errorf("got %v\n%s", err, &out)
			}
			if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func TestUpdate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "floors.txt")
	if err := run(strings.NewReader(output), &bytes.Buffer{}, path, true); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "registry 77\nwebhook 94\n" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := run(strings.NewReader(output), &bytes.Buffer{}, path, false); err != nil {
		t.Errorf("after the update: %v", err)
	}
}
