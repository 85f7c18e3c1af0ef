// Package image builds a reproducible OCI image of one static binary and its SBOM, without
// a container engine.
package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// Options describe an image.
type Options struct {
	Binary   []byte
	Platform string    // GOARCH, such as amd64; GOOS is linux
	Name     string    // repository with tag
	Created  time.Time // commit time, for reproducibility
	Revision string    // commit hash
	Version  string
}

// User is the user and group of the process.
const User = "65532:65532"

// Layout returns an OCI image layout as a tar file. The image has one layer with one file,
// /drey.
//
// Source: opencontainers/image-spec, image-layout.md.
func Layout(o Options) ([]byte, error) {
	layer, err := archive(o.Created, file{"drey", 0o555, o.Binary})
	if err != nil {
		return nil, err
	}
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(layer); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	labels := map[string]string{
		"org.opencontainers.image.title": "drey", "org.opencontainers.image.licenses": "Apache-2.0",
		"org.opencontainers.image.version": o.Version, "org.opencontainers.image.revision": o.Revision,
		"org.opencontainers.image.created": o.Created.UTC().Format(time.RFC3339),
	}
	config, err := json.Marshal(map[string]any{
		"architecture": o.Platform, "os": "linux", "created": o.Created.UTC().Format(time.RFC3339),
		"config": map[string]any{"User": User, "Entrypoint": []string{"/drey"}, "Labels": labels},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{digest(layer)}},
	})
	if err != nil {
		return nil, err
	}
	manifest, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": typeManifest,
		"config": describe("application/vnd.oci.image.config.v1+json", config),
		"layers": []any{describe("application/vnd.oci.image.layer.v1.tar+gzip", packed.Bytes())},
	})
	if err != nil {
		return nil, err
	}
	entry := describe(typeManifest, manifest)
	entry["platform"] = map[string]string{"architecture": o.Platform, "os": "linux"}
	// Image names for OCI tools and for containerd.
	entry["annotations"] = map[string]string{"org.opencontainers.image.ref.name": o.Version, "io.containerd.image.name": o.Name}
	index, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []any{entry}})
	if err != nil {
		return nil, err
	}
	return archive(o.Created,
		file{"oci-layout", 0o444, []byte(`{"imageLayoutVersion":"1.0.0"}`)},
		file{"index.json", 0o444, index},
		file{blob(manifest), 0o444, manifest},
		file{blob(config), 0o444, config},
		file{blob(packed.Bytes()), 0o444, packed.Bytes()},
	)
}

const typeManifest = "application/vnd.oci.image.manifest.v1+json"

func describe(mediaType string, content []byte) map[string]any {
	return map[string]any{"mediaType": mediaType, "digest": digest(content), "size": len(content)}
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func blob(content []byte) string { return "blobs/sha256/" + digest(content)[len("sha256:"):] }

type file struct {
	name    string
	mode    int64
	content []byte
}

// archive returns a tar file. Its files belong to root and have one modification time.
func archive(at time.Time, files ...file) ([]byte, error) {
	var b bytes.Buffer
	t := tar.NewWriter(&b)
	for _, f := range files {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: f.name, Mode: f.mode, Size: int64(len(f.content)), ModTime: at.UTC().Truncate(time.Second), Format: tar.FormatUSTAR}
		if err := t.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		if _, err := t.Write(f.content); err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
	}
	err := t.Close()
	return b.Bytes(), err
}
