// Package manifests embeds the custom resource definitions, and holds the YAML of the
// kustomize base, its overlays and the Helm chart.
package manifests

import (
	"embed"
	"io/fs"
)

//go:embed crds/drey.dev_*.yaml
var files embed.FS

// CRDs returns the CustomResourceDefinitions in YAML, one document each.
func CRDs() ([][]byte, error) {
	var all [][]byte
	return all, fs.WalkDir(files, "crds", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := files.ReadFile(path)
		all = append(all, text)
		return err
	})
}
