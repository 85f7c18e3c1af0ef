// Package gen pins the version of controller-gen in its go.mod and tests that the generated
// files are up to date.
package gen

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestGenerated: the generated files in the tree equal the output of controller-gen.
func TestGenerated(t *testing.T) {
	const root = "../.."
	crds, code := t.TempDir(), t.TempDir()
	cmd := exec.Command("go", "tool", "-modfile=hack/generate/go.mod", "controller-gen", "object", "crd:crdVersions=v1", "paths=./registry/kubestore/v1",
		"output:crd:dir="+crds, "output:object:dir="+code)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	compare(t, crds, filepath.Join(root, "manifests/crds"), "drey.dev_*.yaml", 4)
	compare(t, code, filepath.Join(root, "registry/kubestore/v1"), "zz_generated.*.go", 1)
}

// compare compares the files that match a pattern in two directories.
func compare(t *testing.T, generated, tree, pattern string, want int) {
	t.Helper()
	names := map[string]bool{}
	for _, dir := range []string{generated, tree} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			names[filepath.Base(file)] = true
		}
	}
	if len(names) != want {
		t.Errorf("files %v, want %d", names, want)
	}
	for name := range names {
		a, errA := os.ReadFile(filepath.Join(generated, name))
		b, errB := os.ReadFile(filepath.Join(tree, name))
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			t.Errorf("%s is out of date: run make generate", filepath.Join(tree, name))
		}
	}
}
