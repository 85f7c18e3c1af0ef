package krew_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"sigs.k8s.io/yaml"

	"drey.dev/drey/hack/krew"
)

// TestPack checks the rules of krew's validation: names, versions, selectors, checksums, and
// the files in the archives.
func TestPack(t *testing.T) {
	dir := t.TempDir()
	binary := filepath.Join(dir, "drey")
	if err := os.WriteFile(binary, []byte("a program"), 0o600); err != nil {
		t.Fatal(err)
	}
	release := krew.Release{Version: "v0.1.0", URL: "https://example.com/drey/v0.1.0", License: "../../LICENSE", Binaries: map[string]string{"linux/amd64": binary, "darwin/arm64": binary}}
	platforms := []string{"linux/amd64", "darwin/arm64"}
	var made [2][]byte
	for i := range made {
		if err := krew.Pack(release, platforms, dir); err != nil {
			t.Fatal(err)
		}
		var err error
		if made[i], err = os.ReadFile(filepath.Join(dir, "drey.yaml")); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(made[0], made[1]) {
		t.Error("manifests of the same binaries differ")
	}
	var m krew.Manifest
	if err := yaml.UnmarshalStrict(made[0], &m); err != nil {
		t.Fatal(err)
	}
	if m.APIVersion != "krew.googlecontainertools.github.com/v1alpha2" || m.Kind != "Plugin" || !regexp.MustCompile(`^[\w-]+$`).MatchString(m.Metadata["name"]) ||
		!regexp.MustCompile(`^v\d+\.\d+\.\d+`).MatchString(m.Spec.Version) || m.Spec.ShortDescription == "" || len(m.Spec.ShortDescription) > 50 {
		t.Errorf("%+v", m)
	}
	if len(m.Spec.Platforms) != len(platforms) {
		t.Fatalf("%d platforms", len(m.Spec.Platforms))
	}
	for i, p := range m.Spec.Platforms {
		if p.Selector.MatchLabels["os"]+"/"+p.Selector.MatchLabels["arch"] != platforms[i] {
			t.Errorf("%v", p.Selector)
		}
		text, err := os.ReadFile(filepath.Join(dir, filepath.Base(p.URI)))
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(text); hex.EncodeToString(sum[:]) != p.SHA256 {
			t.Error("checksum does not match the archive")
		}
		modes := contents(t, text)
		if modes[p.Bin]&0o111 == 0 {
			t.Errorf("%s is not executable: %v", p.Bin, modes)
		}
		for _, f := range p.Files {
			if _, ok := modes[f.From]; !ok {
				t.Errorf("%s is missing in the archive", f.From)
			}
		}
	}
	release.Version = "dev"
	if err := krew.Pack(release, platforms, dir); err == nil {
		t.Error("no error for an invalid version")
	}
}

func contents(t *testing.T, text []byte) map[string]int64 {
	t.Helper()
	packed, err := gzip.NewReader(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	modes := map[string]int64{}
	for files := tar.NewReader(packed); ; {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			return modes
		}
		if err != nil {
			t.Fatal(err)
		}
		modes[h.Name] = h.Mode
	}
}
