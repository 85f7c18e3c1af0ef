// Package release writes the artifacts of a release: archives of the binaries with their SBOMs,
// the image, the chart, the manifests, the manifest of the kubectl plugin, checksums and
// provenance. The same commit and version give the same bytes.
package release

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"drey.dev/drey/hack/image"
	"drey.dev/drey/hack/krew"
)

// Options describe a release.
type Options struct {
	Version    string    // the tag, such as v0.1.0
	Revision   string    // commit hash
	Created    time.Time // commit time
	Repository string    // of the image, without a tag
	URL        string    // download URL of the artifacts, without file name
	Builder    string    // URI of the builder in the provenance
	Platforms  []string  // such as linux/amd64; those of Linux are in the image
	Root       string    // the module's folder

	// Build compiles drey for a platform, and returns the binary.
	Build func(ctx context.Context, platform string) ([]byte, error)
	// Run runs drey on this machine, and returns its standard output.
	Run func(ctx context.Context, args ...string) ([]byte, error)
	// Log prints a step.
	Log func(step string)
}

// semantic matches a version that Helm, krew and Go accept.
var semantic = regexp.MustCompile(`^v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?$`)

// Number returns the version without its v, as image tags and charts have it.
func (o Options) Number() string { return strings.TrimPrefix(o.Version, "v") }

func (o Options) image() string { return o.Repository + ":" + o.Number() }

// Make writes the artifacts into an empty directory.
func Make(ctx context.Context, o Options, dir string) error {
	if !semantic.MatchString(o.Version) {
		return fmt.Errorf("invalid version %q: use a semantic version with v, such as v0.1.0", o.Version)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if present, err := os.ReadDir(dir); err != nil || len(present) > 0 {
		return cmp.Or(err, fmt.Errorf("directory %s is not empty: remove it first", dir))
	}
	artifacts := map[string][]byte{}
	for _, add := range []func(context.Context, map[string][]byte) error{o.addBinaries, o.addChart, o.addManifests} {
		if err := add(ctx, artifacts); err != nil {
			return err
		}
	}
	statement, err := o.provenance(artifacts)
	if err != nil {
		return err
	}
	artifacts["provenance.intoto.json"] = statement
	artifacts["checksums.txt"] = checksums(artifacts)
	for _, name := range names(artifacts) {
		if err := os.WriteFile(filepath.Join(dir, name), artifacts[name], 0o644); err != nil {
			return err
		}
	}
	return nil
}

// addBinaries adds an archive and an SBOM for each platform, the plugin's manifest, and the
// image.
func (o Options) addBinaries(ctx context.Context, artifacts map[string][]byte) error {
	shared, err := o.sharedFiles(ctx)
	if err != nil {
		return err
	}
	plugin := krew.Release{Version: o.Version, URL: o.URL}
	picture := image.Options{Name: o.image(), Created: o.Created, Revision: o.Revision, Version: o.Number()}
	for _, platform := range o.Platforms {
		o.Log("compile drey for " + platform)
		binary, err := o.Build(ctx, platform)
		if err != nil {
			return err
		}
		base := "drey_" + o.Number() + "_" + strings.ReplaceAll(platform, "/", "_")
		name, content, err := archive(o.Created, platform, base, binary, shared)
		if err != nil {
			return err
		}
		artifacts[name] = content
		if artifacts[base+".spdx.json"], err = image.SBOM(binary, o.Number(), o.Created); err != nil {
			return err
		}
		plugin.Archives = append(plugin.Archives, krew.Archive{Platform: platform, Name: name, SHA256: sum(content)})
		if arch, ok := strings.CutPrefix(platform, "linux/"); ok {
			picture.Binaries = append(picture.Binaries, image.Binary{Arch: arch, Content: binary})
		}
	}
	if artifacts["drey.yaml"], err = krew.Manifest(plugin); err != nil {
		return err
	}
	o.Log("pack the image " + picture.Name)
	artifacts["drey_"+o.Number()+"_image.tar"], _, err = image.Layout(picture)
	return err
}

// sharedFiles returns the files that each archive has beside the binary.
func (o Options) sharedFiles(ctx context.Context) ([]image.File, error) {
	license, err := os.ReadFile(filepath.Join(o.Root, "LICENSE"))
	if err != nil {
		return nil, err
	}
	files := []image.File{{Name: "LICENSE", Mode: 0o644, Content: license}}
	for _, shell := range []struct{ name, file string }{{"bash", "drey.bash"}, {"zsh", "_drey"}, {"fish", "drey.fish"}, {"powershell", "drey.ps1"}} {
		script, err := o.Run(ctx, "completion", shell.name)
		if err != nil {
			return nil, err
		}
		files = append(files, image.File{Name: path.Join("completions", shell.file), Mode: 0o644, Content: script})
	}
	return append(files, image.File{Name: krew.Completion, Mode: 0o755, Content: krew.CompletionScript}), nil
}

// addManifests adds the manifests of drey install in its default form.
func (o Options) addManifests(ctx context.Context, artifacts map[string][]byte) (err error) {
	artifacts["install.yaml"], err = o.Run(ctx, "install", "--print", "--image", o.image())
	return err
}

// checksums returns the artifacts in the format of sha256sum.
func checksums(artifacts map[string][]byte) []byte {
	var b strings.Builder
	for _, name := range names(artifacts) {
		fmt.Fprintf(&b, "%s  %s\n", sum(artifacts[name]), name)
	}
	return []byte(b.String())
}

func sum(content []byte) string {
	digest := sha256.Sum256(content)
	return hex.EncodeToString(digest[:])
}

func names(artifacts map[string][]byte) []string {
	return slices.Sorted(maps.Keys(artifacts))
}
