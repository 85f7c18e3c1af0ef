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
	"errors"
	"fmt"
	"time"
)

// Options describe an image.
type Options struct {
	Binaries []Binary  // one for each architecture
	Name     string    // repository with tag
	Created  time.Time // commit time, for reproducibility
	Revision string    // commit hash
	Version  string
}

// Binary is the program of one architecture.
type Binary struct {
	Arch    string // GOARCH, such as amd64; GOOS is linux
	Content []byte
}

// User is the user and group of the process.
const User = "65532:65532"

// The media types of an image.
const (
	typeIndex    = "application/vnd.oci.image.index.v1+json"
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
	typeConfig   = "application/vnd.oci.image.config.v1+json"
	typeLayer    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

// Layout returns an OCI image layout as a tar file, and the digest of the image. The image of
// an architecture has one layer with one file, /drey. Several architectures are the entries of
// one index.
//
// Source: opencontainers/image-spec, image-layout.md and image-index.md.
func Layout(o Options) (layout []byte, imageDigest string, err error) {
	if len(o.Binaries) == 0 {
		return nil, "", errors.New("an image requires a binary")
	}
	var blobs []File
	var entries []Descriptor
	for _, b := range o.Binaries {
		manifest, files, err := o.manifest(b)
		if err != nil {
			return nil, "", err
		}
		entries, blobs = append(entries, manifest), append(blobs, files...)
	}
	named := entries[0]
	if len(entries) > 1 {
		index, err := json.Marshal(Index{SchemaVersion: 2, MediaType: typeIndex, Manifests: entries})
		if err != nil {
			return nil, "", err
		}
		named, blobs = Describe(typeIndex, index), append(blobs, Blob(index))
	}
	// Image names for OCI tools and for containerd.
	named.Annotations = map[string]string{"org.opencontainers.image.ref.name": o.Version, "io.containerd.image.name": o.Name}
	layout, err = Pack(o.Created, named, blobs)
	return layout, named.Digest, err
}

// manifest returns the manifest of one architecture, and the blobs of its image.
func (o Options) manifest(b Binary) (Descriptor, []File, error) {
	layer, err := Tar(o.Created, File{"drey", 0o555, b.Content})
	if err != nil {
		return Descriptor{}, nil, err
	}
	packed, err := Gzip(layer)
	if err != nil {
		return Descriptor{}, nil, err
	}
	created := o.Created.UTC().Format(time.RFC3339)
	labels := map[string]string{
		"org.opencontainers.image.title": "drey", "org.opencontainers.image.licenses": "Apache-2.0",
		"org.opencontainers.image.version": o.Version, "org.opencontainers.image.revision": o.Revision,
		"org.opencontainers.image.created": created,
	}
	config, err := json.Marshal(map[string]any{
		"architecture": b.Arch, "os": "linux", "created": created,
		"config": map[string]any{"User": User, "Entrypoint": []string{"/drey"}, "Labels": labels},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{digest(layer)}},
	})
	if err != nil {
		return Descriptor{}, nil, err
	}
	manifest, err := json.Marshal(Manifest{
		SchemaVersion: 2, MediaType: typeManifest,
		Config: Describe(typeConfig, config), Layers: []Descriptor{Describe(typeLayer, packed)},
	})
	if err != nil {
		return Descriptor{}, nil, err
	}
	entry := Describe(typeManifest, manifest)
	entry.Platform = map[string]string{"architecture": b.Arch, "os": "linux"}
	return entry, []File{Blob(manifest), Blob(config), Blob(packed)}, nil
}

// Manifest is an OCI manifest.
type Manifest struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	Config        Descriptor        `json:"config"`
	Layers        []Descriptor      `json:"layers"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

// Index is an OCI image index.
type Index struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Manifests     []Descriptor `json:"manifests"`
}

// Descriptor refers to a blob.
type Descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Platform    map[string]string `json:"platform,omitempty"`
}

// Describe returns the descriptor of a blob.
func Describe(mediaType string, content []byte) Descriptor {
	return Descriptor{MediaType: mediaType, Digest: digest(content), Size: len(content)}
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Blob returns a blob as a file of a layout.
func Blob(content []byte) File {
	return File{"blobs/sha256/" + digest(content)[len("sha256:"):], 0o444, content}
}

// Pack returns an OCI layout as a tar file: an index with one entry, and the blobs.
func Pack(at time.Time, entry Descriptor, blobs []File) ([]byte, error) {
	index, err := json.Marshal(Index{SchemaVersion: 2, MediaType: typeIndex, Manifests: []Descriptor{entry}})
	if err != nil {
		return nil, err
	}
	return Tar(at, append([]File{
		{"oci-layout", 0o444, []byte(`{"imageLayoutVersion":"1.0.0"}`)},
		{"index.json", 0o444, index},
	}, blobs...)...)
}

// File is a file of an archive.
type File struct {
	Name    string
	Mode    int64
	Content []byte
}

// Tar returns a tar file. Its files belong to root and have one modification time.
func Tar(at time.Time, files ...File) ([]byte, error) {
	var b bytes.Buffer
	t := tar.NewWriter(&b)
	for _, f := range files {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: f.Name, Mode: f.Mode, Size: int64(len(f.Content)), ModTime: at.UTC().Truncate(time.Second), Format: tar.FormatUSTAR}
		if err := t.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		if _, err := t.Write(f.Content); err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	err := t.Close()
	return b.Bytes(), err
}

// Gzip compresses a file. The output depends only on the content.
func Gzip(content []byte) ([]byte, error) {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(content); err != nil {
		return nil, err
	}
	err = z.Close()
	return b.Bytes(), err
}
