package release_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"drey.dev/drey/hack/image"
	"drey.dev/drey/hack/release"
)

// program is the program of the tests: the test binary, which has the build information that
// an SBOM requires.
func program(t *testing.T) []byte {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func options(t *testing.T) release.Options {
	binary := program(t)
	return release.Options{
		Version: "v1.2.3", Revision: "abc", Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Repository: "registry.example.com/team/drey", URL: "https://example.com/v1.2.3", Builder: "https://example.com/builder",
		Platforms: []string{"linux/amd64", "linux/arm64", "windows/amd64"}, Root: "../..",
		Build: func(context.Context, string) ([]byte, error) { return binary, nil },
		Run:   func(_ context.Context, args ...string) ([]byte, error) { return []byte(strings.Join(args, " ")), nil },
		Log:   func(string) {},
	}
}

// build makes a release, and returns its files.
func build(t *testing.T, o release.Options) map[string][]byte {
	t.Helper()
	dir := t.TempDir()
	if err := release.Make(t.Context(), o, dir); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, e := range entries {
		if files[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// TestMake: a release has all artifacts with one version, and two builds are equal.
func TestMake(t *testing.T) {
	files := build(t, options(t))
	want := []string{
		"checksums.txt", "drey-1.2.3-chart.oci.tar", "drey-1.2.3.tgz", "drey.yaml", "drey_1.2.3_image.tar",
		"drey_1.2.3_linux_amd64.spdx.json", "drey_1.2.3_linux_amd64.tar.gz", "drey_1.2.3_linux_arm64.spdx.json", "drey_1.2.3_linux_arm64.tar.gz",
		"drey_1.2.3_windows_amd64.spdx.json", "drey_1.2.3_windows_amd64.zip", "install.yaml", "provenance.intoto.json",
	}
	if got := slices.Sorted(maps.Keys(files)); !slices.Equal(got, want) {
		t.Errorf("artifacts:\ngot  %q\nwant %q", got, want)
	}
	for name, again := range build(t, options(t)) {
		if !bytes.Equal(files[name], again) {
			t.Errorf("%s: two builds differ", name)
		}
	}
	if got := string(files["install.yaml"]); got != "install --print --image registry.example.com/team/drey:1.2.3" {
		t.Errorf("install.yaml is the output of drey %s", got)
	}

	t.Run("archives", func(t *testing.T) {
		contents := []string{"LICENSE", "completions/_drey", "completions/drey.bash", "completions/drey.fish", "completions/drey.ps1", "completions/kubectl_complete-drey"}
		if got := slices.Sorted(maps.Keys(untar(t, files["drey_1.2.3_linux_arm64.tar.gz"]))); !slices.Equal(got, append(slices.Clone(contents), "drey")) {
			t.Errorf("archive for Linux: got %q", got)
		}
		z, err := zip.NewReader(bytes.NewReader(files["drey_1.2.3_windows_amd64.zip"]), int64(len(files["drey_1.2.3_windows_amd64.zip"])))
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, f := range z.File {
			names = append(names, f.Name)
		}
		if slices.Sort(names); !slices.Equal(names, append(slices.Clone(contents), "drey.exe")) {
			t.Errorf("archive for Windows: got %q", names)
		}
	})
	t.Run("chart", func(t *testing.T) {
		chart := untar(t, files["drey-1.2.3.tgz"])
		var metadata struct{ Name, Version, AppVersion string }
		if err := yaml.Unmarshal(chart["drey/Chart.yaml"], &metadata); err != nil || metadata.Name != "drey" || metadata.Version != "1.2.3" || metadata.AppVersion != "1.2.3" {
			t.Errorf("Chart.yaml: got %+v (%v), want the version 1.2.3", metadata, err)
		}
		if !strings.Contains(string(chart["drey/Chart.yaml"]), "image: registry.example.com/team/drey:1.2.3\n") {
			t.Errorf("got the annotations of Chart.yaml\n%s\nwant the image of the release", chart["drey/Chart.yaml"])
		}
		for name := range chart {
			if strings.HasPrefix(name, "drey/ci/") {
				t.Errorf("got %s, which .helmignore excludes", name)
			}
		}
		var values struct{ Image struct{ Repository string } }
		if err := yaml.Unmarshal(chart["drey/values.yaml"], &values); err != nil || values.Image.Repository != "registry.example.com/team/drey" {
			t.Errorf("values.yaml: got %+v (%v), want the repository of the release", values, err)
		}
		artifact := untarPlain(t, files["drey-1.2.3-chart.oci.tar"])
		manifest := blob[image.Manifest](t, artifact, blob[image.Index](t, artifact, "index.json").Manifests[0].Digest)
		if layer := artifact[blobPath(manifest.Layers[0].Digest)]; !bytes.Equal(layer, files["drey-1.2.3.tgz"]) {
			t.Error("the OCI artifact has another chart than the .tgz")
		}
		if config := blob[map[string]any](t, artifact, manifest.Config.Digest); config["version"] != "1.2.3" {
			t.Errorf("config of the OCI artifact: got %v", config)
		}
	})
	t.Run("checksums", func(t *testing.T) {
		lines := strings.Split(strings.TrimSpace(string(files["checksums.txt"])), "\n")
		if len(lines) != len(files)-1 {
			t.Errorf("got %d lines, want one for each of the other %d artifacts", len(lines), len(files)-1)
		}
		for _, line := range lines {
			sum, name, _ := strings.Cut(line, "  ")
			if got := fmt.Sprintf("%x", sha256.Sum256(files[name])); got != sum {
				t.Errorf("%s: got the checksum %s, want %s", name, sum, got)
			}
		}
	})
	t.Run("provenance", func(t *testing.T) {
		var statement struct {
			Subject []struct {
				Name   string
				Digest map[string]string
			}
			PredicateType string
		}
		if err := json.Unmarshal(files["provenance.intoto.json"], &statement); err != nil {
			t.Fatal(err)
		}
		if len(statement.Subject) != len(files)-2 || statement.PredicateType != "https://slsa.dev/provenance/v1" {
			t.Errorf("got %d subjects of type %s, want the %d artifacts", len(statement.Subject), statement.PredicateType, len(files)-2)
		}
		for _, s := range statement.Subject {
			if got := fmt.Sprintf("%x", sha256.Sum256(files[s.Name])); got != s.Digest["sha256"] {
				t.Errorf("%s: got the digest %s, want %s", s.Name, s.Digest["sha256"], got)
			}
		}
	})
}

// TestMakeErrors: a version that Helm or krew rejects, and a directory with files.
func TestMakeErrors(t *testing.T) {
	for _, version := range []string{"dev", "1.2.3", "v1.2", "v01.2.3"} {
		o := options(t)
		o.Version = version
		if err := release.Make(t.Context(), o, t.TempDir()); err == nil || !strings.Contains(err.Error(), "semantic version") {
			t.Errorf("version %s: got the error %v, want one that names semantic versions", version, err)
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "old"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := release.Make(t.Context(), options(t), dir); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("directory with a file: got the error %v, want one that says it is not empty", err)
	}
}

func blobPath(digest string) string { return "blobs/sha256/" + strings.TrimPrefix(digest, "sha256:") }

// blob decodes a file or, by its digest, a blob of an OCI layout.
func blob[T any](t *testing.T, layout map[string][]byte, name string) (decoded T) {
	t.Helper()
	if strings.HasPrefix(name, "sha256:") {
		name = blobPath(name)
	}
	if err := json.Unmarshal(layout[name], &decoded); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return decoded
}

func untar(t *testing.T, content []byte) map[string][]byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return untarPlain(t, plain)
}

func untarPlain(t *testing.T, content []byte) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(content)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}
