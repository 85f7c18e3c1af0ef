// Package manifests has what a cluster must be told of drey.
package manifests

import (
	"embed"
	"io/fs"
)

//go:embed crds/drey.dev_*.yaml
var files embed.FS

// CRDs returns the definitions of drey's custom resources, in YAML, one each.
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
