// Command manifests writes the generated part of the folder manifests: the kustomize base
// and overlays, the chart's templates that have the webhook configurations, the policies,
// the roles and the custom resource definitions, and the schema and the documentation of
// the chart's values.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"drey.dev/drey/manifests/bundle"
)

func main() {
	dir := flag.String("dir", "manifests", "the folder to write to")
	flag.Parse()
	if err := write(*dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func write(dir string) error {
	files, err := generate(dir)
	if err != nil {
		return err
	}
	for path, text := range files {
		if err := os.WriteFile(filepath.Join(dir, path), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

const header = "# Written by `make manifests` from package manifests/bundle.\n"

// generate returns the files by path below dir, the folder manifests.
func generate(dir string) (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, add := range []func(map[string][]byte) error{addKustomize, addChart} {
		if err := add(files); err != nil {
			return nil, err
		}
	}
	return files, addValues(files, func(path string) ([]byte, error) { return os.ReadFile(filepath.Join(dir, path)) })
}

// cluster is the set of objects of one variant of drey.
type cluster struct{ stages []bundle.Stage }

// variant returns the objects of the default options with changes.
func variant(change func(*bundle.Options)) (cluster, error) {
	o := bundle.Defaults()
	change(&o)
	stages, err := bundle.Stages(o)
	return cluster{stages}, err
}

func embedded(o *bundle.Options) { o.Store, o.Replicas = bundle.Embedded, 1 }

func certManager(o *bundle.Options) { o.Certs = bundle.CertManager }

// pick returns the objects that match, in order. There is at least one.
func (c cluster) pick(stage string, match func(bundle.Object) bool) ([]bundle.Object, error) {
	var all []bundle.Object
	for _, s := range c.stages {
		for _, o := range s.Objects {
			if s.Name == stage && match(o) {
				all = append(all, o)
			}
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no object of stage %s matches", stage)
	}
	return all, nil
}

func every(bundle.Object) bool { return true }

func kind(k string) func(bundle.Object) bool {
	return func(o bundle.Object) bool { return o.GetKind() == k }
}

func named(names ...string) func(bundle.Object) bool {
	return func(o bundle.Object) bool { return slices.Contains(names, o.GetName()) }
}

func and(a, b func(bundle.Object) bool) func(bundle.Object) bool {
	return func(o bundle.Object) bool { return a(o) && b(o) }
}

func not(a func(bundle.Object) bool) func(bundle.Object) bool {
	return func(o bundle.Object) bool { return !a(o) }
}
