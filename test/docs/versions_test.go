package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"drey.dev/drey/test/framework/cluster"
)

// TestKubernetesVersions: the documents and the chart claim the versions that make
// test-versions tests, and its tests exist.
func TestKubernetesVersions(t *testing.T) {
	versions, err := cluster.Versions()
	if err != nil {
		t.Fatal(err)
	}
	oldest := versions[0]
	for file, claim := range map[string]string{
		"manifests/chart/Chart.yaml": `kubeVersion: ">=` + oldest + `.0-0"`,
		"manifests/chart/README.md":  "Kubernetes " + oldest + " or newer",
		"docs/how-to/install.md":     "Requires Kubernetes " + oldest + " or newer: " + strings.Join(versions, ", ") + " are tested",
	} {
		text, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(strings.Join(strings.Fields(string(text)), " "), claim) {
			t.Errorf("%s: got no %q", file, claim)
		}
	}

	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	known := sources(t)
	for _, name := range strings.Split(match(t, string(makefile), `(?m)^VERSION_TESTS := \^\((\S+)\)\$\$$`), "|") {
		if !regexp.MustCompile(`(?m)^func ` + name + `\(`).MatchString(known) {
			t.Errorf("Makefile: VERSION_TESTS: no test %q", name)
		}
	}
}
