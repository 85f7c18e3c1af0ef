package krew_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"drey.dev/drey/hack/krew"
)

// TestManifest checks the rules of krew's validation: names, versions, selectors and files.
func TestManifest(t *testing.T) {
	release := krew.Release{Version: "v0.1.0", URL: "https://example.com/drey/v0.1.0", Archives: []krew.Archive{
		{Platform: "linux/amd64", Name: "drey_0.1.0_linux_amd64.tar.gz", SHA256: "aa"},
		{Platform: "windows/arm64", Name: "drey_0.1.0_windows_arm64.zip", SHA256: "bb"},
	}}
	text, err := krew.Manifest(release)
	if err != nil {
		t.Fatal(err)
	}
	var o krew.Object
	if err := yaml.UnmarshalStrict(text, &o); err != nil {
		t.Fatal(err)
	}
	if o.APIVersion != "krew.googlecontainertools.github.com/v1alpha2" || o.Kind != "Plugin" || !regexp.MustCompile(`^[\w-]+$`).MatchString(o.Metadata["name"]) ||
		!regexp.MustCompile(`^v\d+\.\d+\.\d+`).MatchString(o.Spec.Version) || o.Spec.ShortDescription == "" || len(o.Spec.ShortDescription) > 50 {
		t.Errorf("manifest %+v", o)
	}
	binaries := []string{"kubectl-drey", "kubectl-drey.exe"}
	if len(o.Spec.Platforms) != len(release.Archives) {
		t.Fatalf("platforms: got %d, want %d", len(o.Spec.Platforms), len(release.Archives))
	}
	for i, p := range o.Spec.Platforms {
		want := release.Archives[i]
		if got := p.Selector.MatchLabels["os"] + "/" + p.Selector.MatchLabels["arch"]; got != want.Platform || p.URI != release.URL+"/"+want.Name || p.SHA256 != want.SHA256 || p.Bin != binaries[i] {
			t.Errorf("platform %d: got %+v, want the archive %+v and the program %s", i, p, want, binaries[i])
		}
	}
	if !strings.Contains(o.Spec.Caveats, "/store/drey/v0.1.0/kubectl_complete-drey") || !slices.Contains(o.Spec.Platforms[0].Files, krew.File{From: krew.Completion, To: "."}) {
		t.Errorf("completion: got the caveats %q and the files %v", o.Spec.Caveats, o.Spec.Platforms[0].Files)
	}
	release.Version = "dev"
	if _, err := krew.Manifest(release); err == nil {
		t.Error("version dev: got no error")
	}
}
