// Package validate tests the output of hack/krew with krew: its manifest validator, which
// installs every platform, and an installation.
package validate

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"drey.dev/drey/hack/krew"
	"drey.dev/drey/test/framework/cluster"
)

// TestInstall: krew validates and installs the plugin, and rejects a wrong checksum.
func TestInstall(t *testing.T) {
	tools := tools(t)
	packed := pack(t)
	env := append(os.Environ(), "PATH="+tools+string(os.PathListSeparator)+os.Getenv("PATH"))
	run := func(want string, name string, args ...string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, filepath.Join(tools, name), args...)
		cmd.Env = env
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), want) {
			t.Fatalf("%s %s: %v\n%s\nwant %q", name, strings.Join(args, " "), err, out, want)
		}
	}
	manifest := filepath.Join(packed, "drey.yaml")
	run(fmt.Sprintf("all %d spec.platforms installed fine", len(platforms)), "validate-krew-manifest", "-manifest", manifest)

	root := t.TempDir()
	env = append(env, "KREW_ROOT="+root, "PATH="+tools+string(os.PathListSeparator)+filepath.Join(root, "bin"))
	run("Installed plugin: drey", "kubectl", "krew", "install", "--manifest="+manifest)
	run("v0.1.0", "kubectl", "drey", "--version")

	text, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(manifest, []byte(strings.Replace(string(text), "sha256: ", "sha256: 0", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(tools, "validate-krew-manifest"), "-manifest", manifest)
	cmd.Env = env
	if out, err := cmd.CombinedOutput(); err == nil {
		t.Errorf("no error for a wrong checksum: %s", out)
	}
}

// platforms are the platform of this machine and another one.
var platforms = func() []string {
	here := runtime.GOOS + "/" + runtime.GOARCH
	if here == "darwin/arm64" {
		return []string{here, "linux/amd64"}
	}
	return []string{here, "darwin/arm64"}
}()

// tools returns a directory with kubectl, kubectl-krew and validate-krew-manifest.
func tools(t *testing.T) string {
	t.Helper()
	binaries, err := cluster.Binaries(t.Context(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(filepath.Join(binaries, "kubectl"), filepath.Join(dir, "kubectl")); err != nil {
		t.Fatal(err)
	}
	build(t, ".", filepath.Join(dir, "kubectl-krew"), "sigs.k8s.io/krew/cmd/krew")
	build(t, ".", filepath.Join(dir, "validate-krew-manifest"), "sigs.k8s.io/krew/cmd/validate-krew-manifest")
	return dir
}

// pack builds a release in a directory, which is served at the download URL.
func pack(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	server := httptest.NewServer(http.FileServer(http.Dir(dir)))
	t.Cleanup(server.Close)
	release := krew.Release{Version: "v0.1.0", URL: server.URL, License: "../../../LICENSE", Binaries: map[string]string{}}
	binary := filepath.Join(dir, "binary")
	build(t, "../../..", binary, "-ldflags=-X main.version=v0.1.0", "./cmd/drey")
	for _, p := range platforms {
		release.Binaries[p] = binary // krew runs it only on this platform
	}
	if err := krew.Pack(release, platforms, dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func build(t *testing.T, dir, out string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"build", "-o", out}, args...)...)
	cmd.Dir = dir
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, text)
	}
}
