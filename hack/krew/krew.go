// Package krew builds the archives and the manifest of the kubectl plugin for krew.
//
// Source: krew's documentation, "Writing Krew plugin manifests".
package krew

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

// Plugin is the name of the plugin: kubectl drey.
const Plugin = "drey"

// Release is the input of [Pack].
type Release struct {
	Version  string            // such as v0.1.0
	URL      string            // download URL of the archives, without file name
	Binaries map[string]string // paths by platform, such as linux/amd64
	License  string            // path
}

// Manifest is a krew plugin manifest.
type Manifest struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Metadata   map[string]string `json:"metadata"`
	Spec       Spec              `json:"spec"`
}

// Spec is the spec of a manifest.
type Spec struct {
	Version          string     `json:"version"`
	Homepage         string     `json:"homepage,omitempty"`
	ShortDescription string     `json:"shortDescription"`
	Description      string     `json:"description"`
	Platforms        []Platform `json:"platforms"`
}

// Platform is the archive of a platform.
type Platform struct {
	Selector struct {
		MatchLabels map[string]string `json:"matchLabels"`
	} `json:"selector"`
	URI    string `json:"uri"`
	SHA256 string `json:"sha256"`
	Bin    string `json:"bin"`
	Files  []File `json:"files"`
}

// File is a file that krew extracts from an archive.
type File struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// Pack writes the archives and drey.yaml into dir. The output is reproducible. platforms is
// the order of the platforms in the manifest.
func Pack(r Release, platforms []string, dir string) error {
	if !strings.HasPrefix(r.Version, "v") || strings.Count(r.Version, ".") < 2 {
		return fmt.Errorf("invalid version %q: krew requires semantic versions such as v0.1.0", r.Version)
	}
	m := Manifest{APIVersion: "krew.googlecontainertools.github.com/v1alpha2", Kind: "Plugin", Metadata: map[string]string{"name": Plugin}, Spec: Spec{
		Version: r.Version, Homepage: r.URL,
		ShortDescription: "Where Flink may run, and how it is labeled",
		Description: "Registers where Apache Flink may run in a cluster, explains what drey's\nwebhooks make of a workload and why, checks manifests in a pipeline, and\n" +
			"reports what runs where it may not:\n\n  kubectl drey targets list\n  kubectl drey explain pod/NAME -n NAMESPACE\n  kubectl drey check -f DIR\n  kubectl drey audit\n",
	}}
	for _, platform := range platforms {
		system, arch, _ := strings.Cut(platform, "/")
		text, err := archive(r.Binaries[platform], r.License)
		if err != nil {
			return err
		}
		name := fmt.Sprintf("drey-%s-%s-%s.tar.gz", r.Version, system, arch)
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return err
		}
		sum := sha256.Sum256(text)
		p := Platform{URI: r.URL + "/" + name, SHA256: hex.EncodeToString(sum[:]), Bin: "kubectl-drey", Files: []File{{"kubectl-drey", "."}, {"LICENSE", "."}}}
		p.Selector.MatchLabels = map[string]string{"os": system, "arch": arch}
		m.Spec.Platforms = append(m.Spec.Platforms, p)
	}
	text, err := yaml.Marshal(m)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, Plugin+".yaml"), text, 0o644)
}

func archive(binary, license string) ([]byte, error) {
	var b bytes.Buffer
	packed := gzip.NewWriter(&b)
	files := tar.NewWriter(packed)
	for _, f := range []struct {
		name, path string
		mode       int64
	}{{"LICENSE", license, 0o644}, {"kubectl-drey", binary, 0o755}} {
		text, err := os.ReadFile(f.path)
		if err != nil {
			return nil, err
		}
		if err := files.WriteHeader(&tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(text)), Format: tar.FormatUSTAR}); err != nil {
			return nil, err
		}
		if _, err := files.Write(text); err != nil {
			return nil, err
		}
	}
	if err := files.Close(); err != nil {
		return nil, err
	}
	err := packed.Close()
	return b.Bytes(), err
}
