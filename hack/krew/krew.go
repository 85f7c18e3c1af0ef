// Package krew writes the manifest of the kubectl plugin for krew.
//
// Source: krew's documentation, "Writing Krew plugin manifests".
package krew

import (
	_ "embed" // CompletionScript
	"fmt"
	"strings"

	"sigs.k8s.io/yaml"
)

// Plugin is the name of the plugin: kubectl drey.
const Plugin = "drey"

// Completion is the path of the completion of the plugin in an archive. kubectl runs it from the
// PATH, to which krew adds the binary alone.
const Completion = "completions/kubectl_complete-drey"

// CompletionScript is its content.
//
//go:embed kubectl_complete-drey
var CompletionScript []byte

// Release is the input of [Manifest].
type Release struct {
	Version  string // such as v0.1.0
	URL      string // download URL of the archives, without file name
	Archives []Archive
}

// Archive is the archive of a platform. It has the binary drey, drey.exe for Windows, LICENSE
// and [Completion].
type Archive struct {
	Platform string // such as linux/amd64
	Name     string // of the file
	SHA256   string // in hexadecimal
}

// Object is a krew plugin manifest.
type Object struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Metadata   map[string]string `json:"metadata"`
	Spec       Spec              `json:"spec"`
}

// Spec is the spec of an [Object].
type Spec struct {
	Version          string     `json:"version"`
	Homepage         string     `json:"homepage,omitempty"`
	ShortDescription string     `json:"shortDescription"`
	Description      string     `json:"description"`
	Caveats          string     `json:"caveats,omitempty"`
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

// File is a file that krew copies from an archive. To is a folder, or the new name.
type File struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// Manifest returns the manifest of a release. Its platforms are in the order of the archives.
func Manifest(r Release) ([]byte, error) {
	if !strings.HasPrefix(r.Version, "v") || strings.Count(r.Version, ".") < 2 {
		return nil, fmt.Errorf("invalid version %q: krew requires semantic versions such as v0.1.0", r.Version)
	}
	o := Object{APIVersion: "krew.googlecontainertools.github.com/v1alpha2", Kind: "Plugin", Metadata: map[string]string{"name": Plugin}, Spec: Spec{
		Version: r.Version, Homepage: r.URL,
		ShortDescription: "Where Flink may run, and how it is labeled",
		Description: "Registers where Apache Flink may run in a cluster, explains what drey's\nwebhooks make of a workload and why, checks manifests in a pipeline, and\n" +
			"reports what runs where it may not:\n\n  kubectl drey targets list\n  kubectl drey explain pod/NAME -n NAMESPACE\n  kubectl drey check -f DIR\n  kubectl drey audit\n",
		Caveats: "To complete the arguments of kubectl drey, link the script that comes with it into your PATH:\n\n" +
			"  ln -s \"${KREW_ROOT:-$HOME/.krew}/store/drey/" + r.Version + "/kubectl_complete-drey\" ~/.local/bin/\n",
	}}
	for _, a := range r.Archives {
		system, arch, _ := strings.Cut(a.Platform, "/")
		extension := ""
		if system == "windows" {
			extension = ".exe"
		}
		p := Platform{
			URI: r.URL + "/" + a.Name, SHA256: a.SHA256, Bin: "kubectl-drey" + extension,
			Files: []File{{"drey" + extension, "kubectl-drey" + extension}, {"LICENSE", "."}, {Completion, "."}},
		}
		p.Selector.MatchLabels = map[string]string{"os": system, "arch": arch}
		o.Spec.Platforms = append(o.Spec.Platforms, p)
	}
	return yaml.Marshal(o)
}
