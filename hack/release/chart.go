package release

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"sigs.k8s.io/yaml"

	"drey.dev/drey/hack/image"
)

// The media types of a chart in a registry.
//
// Source: Helm's documentation, "Use OCI-based registries", and HIP-0006.
const (
	typeChartConfig = "application/vnd.cncf.helm.config.v1+json"
	typeChart       = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
	typeManifest    = "application/vnd.oci.image.manifest.v1+json"
)

// versionLine matches the two versions in Chart.yaml.
var versionLine = regexp.MustCompile(`(?m)^(version|appVersion): .*$`)

// repositoryLine matches the image's repository in values.yaml, where it comes first.
var repositoryLine = regexp.MustCompile(`(?m)^  repository: .*$`)

// imageLine matches the image in the annotations of Chart.yaml.
var imageLine = regexp.MustCompile(`(?m)^      image: .*$`)

// addChart adds the chart with the version of the release, as helm package would write it, and
// as an OCI artifact.
func (o Options) addChart(_ context.Context, artifacts map[string][]byte) error {
	o.Log("package the chart")
	files, err := o.chartFiles()
	if err != nil {
		return err
	}
	metadata := slices.IndexFunc(files, func(f image.File) bool { return f.Name == "drey/Chart.yaml" })
	if metadata < 0 {
		return errors.New("the chart has no Chart.yaml")
	}
	text, err := image.Tar(o.Created, files...)
	if err != nil {
		return err
	}
	packed, err := image.Gzip(text)
	if err != nil {
		return err
	}
	artifacts["drey-"+o.Number()+".tgz"] = packed
	artifacts["drey-"+o.Number()+"-chart.oci.tar"], err = o.chartArtifact(files[metadata].Content, packed)
	return err
}

// chartFiles returns the files of the chart, with the version and the image of the release.
func (o Options) chartFiles() ([]image.File, error) {
	root := filepath.Join(o.Root, "manifests", "chart")
	var files []image.File
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && entry.Name() == "ci" { // as .helmignore
			return filepath.SkipDir
		}
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		switch name {
		case ".helmignore":
			return nil
		case "Chart.yaml":
			content = versionLine.ReplaceAll(content, []byte("$1: "+o.Number()))
			content = imageLine.ReplaceAll(content, []byte("      image: "+o.Repository+":"+o.Number()))
		case "values.yaml":
			at := repositoryLine.FindIndex(content)
			if at == nil {
				return fmt.Errorf("%s has no image.repository", file)
			}
			content = append(append(content[:at[0]:at[0]], "  repository: "+o.Repository...), content[at[1]:]...)
		}
		files = append(files, image.File{Name: path.Join("drey", filepath.ToSlash(name)), Mode: 0o644, Content: content})
		return nil
	})
	return files, err
}

func (o Options) chartArtifact(chart, packed []byte) ([]byte, error) {
	config, err := yaml.YAMLToJSON(chart)
	if err != nil {
		return nil, err
	}
	manifest, err := json.Marshal(image.Manifest{
		SchemaVersion: 2, MediaType: typeManifest,
		Config: image.Describe(typeChartConfig, config), Layers: []image.Descriptor{image.Describe(typeChart, packed)},
		Annotations: map[string]string{
			"org.opencontainers.image.title": "drey", "org.opencontainers.image.version": o.Number(),
			"org.opencontainers.image.created": o.Created.UTC().Format(time.RFC3339),
		},
	})
	if err != nil {
		return nil, err
	}
	entry := image.Describe(typeManifest, manifest)
	entry.Annotations = map[string]string{"org.opencontainers.image.ref.name": o.Number()}
	return image.Pack(o.Created, entry, []image.File{image.Blob(manifest), image.Blob(config), image.Blob(packed)})
}
