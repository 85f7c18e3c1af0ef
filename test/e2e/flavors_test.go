package e2e

import (
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// flavors returns the names of the ways to run Flink in testdata/flavors.
func flavors(t testing.TB) (all []string) {
	t.Helper()
	files, err := filepath.Glob("testdata/flavors/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("testdata/flavors: got %v, %v, want manifests", files, err)
	}
	for _, file := range files {
		all = append(all, strings.TrimSuffix(filepath.Base(file), ".yaml"))
	}
	return all
}

// flavorObjects returns the workloads of a flavor, in the order of its manifest.
func flavorObjects(t testing.TB, flavor string) []*unstructured.Unstructured {
	t.Helper()
	return readManifestFile(t, filepath.Join("testdata", "flavors", flavor+".yaml"))
}
