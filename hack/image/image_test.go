package image_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"drey.dev/drey/hack/image"
)

// TestLayout: two builds are identical, all digests match, and the image has one static binary
// and a non-root user.
func TestLayout(t *testing.T) {
	o := options(t, "first")
	layout, digest, err := image.Layout(o)
	if err != nil {
		t.Fatal(err)
	}
	again, _, err := image.Layout(options(t, "second"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(layout, again) {
		t.Error("builds in two directories differ")
	}
	files := untar(t, layout)
	type descriptor struct {
		Digest      string
		Size        int
		Annotations map[string]string
	}
	get := func(d descriptor) []byte {
		content, ok := files["blobs/sha256/"+strings.TrimPrefix(d.Digest, "sha256:")]
		sum := sha256.Sum256(content)
		if !ok || len(content) != d.Size || "sha256:"+hex.EncodeToString(sum[:]) != d.Digest {
			t.Fatalf("blob %s is missing or has another content", d.Digest)
		}
		return content
	}
	var index struct{ Manifests []descriptor }
	var manifest struct {
		Config descriptor
		Layers []descriptor
	}
	var config struct {
		OS, Architecture, Created string
		Config                    struct {
			User       string
			Entrypoint []string
		}
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		}
	}
	parse(t, files["index.json"], &index)
	if len(index.Manifests) != 1 || index.Manifests[0].Annotations["io.containerd.image.name"] != o.Name || index.Manifests[0].Digest != digest {
		t.Fatalf("index: got %+v, want the image %s with the digest %s", index, o.Name, digest)
	}
	parse(t, get(index.Manifests[0]), &manifest)
	parse(t, get(manifest.Config), &config)
	if config.OS != "linux" || config.Architecture != "amd64" || config.Config.User != image.User || !slices.Equal(config.Config.Entrypoint, []string{"/drey"}) || config.Created != "2026-01-02T03:04:05Z" {
		t.Errorf("config: %+v", config)
	}
	if len(manifest.Layers) != 1 || len(config.RootFS.DiffIDs) != 1 {
		t.Fatalf("%d layers", len(manifest.Layers))
	}
	z, err := gzip.NewReader(bytes.NewReader(get(manifest.Layers[0])))
	if err != nil {
		t.Fatal(err)
	}
	layer, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(layer); config.RootFS.DiffIDs[0] != "sha256:"+hex.EncodeToString(sum[:]) {
		t.Error("diff_id of the config does not match the layer")
	}
	root := untar(t, layer)
	if len(root) != 1 || !bytes.Equal(root["drey"], o.Binaries[0].Content) {
		t.Errorf("layer has %d files, or another binary", len(root))
	}
	program, err := elf.NewFile(bytes.NewReader(root["drey"]))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range program.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Error("binary is dynamically linked")
		}
	}
}

// TestLayoutArchitectures: the image of two architectures is one named index, with the manifest
// of each.
func TestLayoutArchitectures(t *testing.T) {
	o := image.Options{Name: "drey.dev/drey:1.2.3", Version: "1.2.3", Binaries: []image.Binary{{Arch: "amd64", Content: []byte("a")}, {Arch: "arm64", Content: []byte("b")}}}
	layout, digest, err := image.Layout(o)
	if err != nil {
		t.Fatal(err)
	}
	files := untar(t, layout)
	var named, index image.Index
	parse(t, files["index.json"], &named)
	if len(named.Manifests) != 1 || named.Manifests[0].Digest != digest || named.Manifests[0].Annotations["io.containerd.image.name"] != o.Name {
		t.Fatalf("index.json: got %+v, want one entry for %s with the digest %s", named, o.Name, digest)
	}
	parse(t, files["blobs/sha256/"+strings.TrimPrefix(digest, "sha256:")], &index)
	var architectures []string
	for _, d := range index.Manifests {
		architectures = append(architectures, d.Platform["architecture"])
		var manifest image.Manifest
		parse(t, files["blobs/sha256/"+strings.TrimPrefix(d.Digest, "sha256:")], &manifest)
		if len(manifest.Layers) != 1 || files["blobs/sha256/"+strings.TrimPrefix(manifest.Layers[0].Digest, "sha256:")] == nil {
			t.Errorf("image of %s: got the manifest %+v, want one layer in the layout", d.Platform, manifest)
		}
	}
	if want := []string{"amd64", "arm64"}; !slices.Equal(architectures, want) {
		t.Errorf("architectures: got %v, want %v", architectures, want)
	}
	if _, _, err := image.Layout(image.Options{Name: o.Name}); err == nil {
		t.Error("no binary: got no error")
	}
}

// TestSBOM: the document lists the modules of the binary.
func TestSBOM(t *testing.T) {
	o := options(t, "first")
	text, err := image.SBOM(o.Binaries[0].Content, o.Version, o.Created)
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		Version  string `json:"spdxVersion"`
		Packages []struct {
			Name, VersionInfo string
			ID                string `json:"SPDXID"`
		}
		Relationships []struct {
			To string `json:"relatedSpdxElement"`
		}
	}
	parse(t, text, &list)
	if list.Version != "SPDX-2.3" || len(list.Relationships) != len(list.Packages) {
		t.Errorf("%s with %d packages and %d relationships", list.Version, len(list.Packages), len(list.Relationships))
	}
	ids := map[string]bool{}
	for _, p := range list.Packages {
		if p.VersionInfo == "" || ids[p.ID] {
			t.Errorf("package %+v has no version or a duplicate ID", p)
		}
		ids[p.ID] = true
	}
	for _, name := range []string{"drey.dev/drey", "stdlib", "k8s.io/client-go", "go.etcd.io/bbolt"} {
		found := false
		for _, p := range list.Packages {
			found = found || p.Name == name
		}
		if !found {
			t.Errorf("%s is not listed", name)
		}
	}
	if _, err := image.SBOM([]byte("#!/bin/sh"), o.Version, o.Created); err == nil {
		t.Error("no error for a file that is not a Go binary")
	}
}

// options builds drey in a new directory.
func options(t *testing.T, name string) image.Options {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X main.version=1.2.3", "-o", path, "drey.dev/drey/cmd/drey")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	binary, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return image.Options{Binaries: []image.Binary{{Arch: "amd64", Content: binary}}, Name: "drey.dev/drey:1.2.3", Version: "1.2.3", Revision: "abc", Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
}

func untar(t *testing.T, text []byte) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(text)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.Gid != 0 || h.Mode&0o222 != 0 {
			t.Errorf("%s: %+v", h.Name, h)
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

func parse(t *testing.T, text []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
}

// TestDockerfile: the build of the Dockerfile and that of make image make the same binary, and the
// Dockerfile has the user and entry point of the image.
func TestDockerfile(t *testing.T) {
	text, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"FROM scratch", "USER " + image.User, `ENTRYPOINT ["/drey"]`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("missing in Dockerfile: %s", want)
		}
	}
	dir := t.TempDir()
	_, build, _ := strings.Cut(string(text), "RUN CGO_ENABLED=0 ")
	build, _, _ = strings.Cut(build, "\n")
	variables := []string{"VERSION=v1.2.3", "COMMIT=0123456789abcdef", "DATE=2026-01-02T03:04:05Z", "REPOSITORY=registry.example.com/drey"}
	run := func(command string, env ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
		cmd.Dir, cmd.Env = "../..", append(os.Environ(), env...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v: %s", command, err, out)
		}
		return string(out)
	}
	docker, makes := filepath.Join(dir, "docker"), filepath.Join(dir, "make")
	run("CGO_ENABLED=0 GOFLAGS= "+strings.Replace(build, "-o /drey", "-o "+docker, 1), append(variables, "TARGETARCH="+runtime.GOARCH)...)
	printed := run("MAKEFLAGS= make --no-print-directory -n image " + strings.Join(variables, " "))
	build, _, _ = strings.Cut(printed, "\n")
	run(strings.Replace(build, "-o bin/drey-linux-"+runtime.GOARCH, "-o "+makes, 1), "CGO_ENABLED=0", "GOFLAGS=-trimpath -buildvcs=false")
	if a, b := read(t, docker), read(t, makes); len(a) == 0 || !bytes.Equal(a, b) {
		t.Errorf("the Dockerfile builds %d bytes, and make image %d: they differ", len(a), len(b))
	}
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return content
}
