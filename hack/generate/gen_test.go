// Package gen has the generator's versions, in a go.mod of its own, and the test
// that what it makes is in the tree.
package gen

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestWhatIsGeneratedIsUpToDate(t *testing.T) {
	const root = "../.."
	crds, code := t.TempDir(), t.TempDir()
	cmd := exec.Command("go", "tool", "-modfile=hack/generate/go.mod", "controller-gen", "object", "crd:crdVersions=v1", "paths=./registry/kubestore/v1",
		"output:crd:dir="+crds, "output:object:dir="+code)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	same(t, crds, filepath.Join(root, "manifests/crds"), "drey.dev_*.yaml", 3)
	same(t, code, filepath.Join(root, "registry/kubestore/v1"), "zz_generated.*.go", 1)
}

func same(t *testing.T, fresh, kept, pattern string, want int) {
	t.Helper()
	names := map[string]bool{}
	for _, dir := range []string{fresh, kept} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			names[filepath.Base(file)] = true
		}
	}
	if len(names) != want {
		t.Errorf("there are %v, want %d", names, want)
	}
	for name := range names {
		a, errA := os.ReadFile(filepath.Join(fresh, name))
		b, errB := os.ReadFile(filepath.Join(kept, name))
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			t.Errorf("%s is not what its Go types say: make generate", filepath.Join(kept, name))
		}
	}
}
