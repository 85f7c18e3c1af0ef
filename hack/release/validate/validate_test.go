// Package validate tests the artifacts of a release with krew: its manifest validator, which
// installs every platform, and an installation; and with an API server.
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

	"drey.dev/drey/hack/release"
	"drey.dev/drey/test/framework/cluster"
)

// TestInstall installs from the artifacts alone: the API server accepts install.yaml without
// warnings, and the plugin, which krew validates and installs, registers a namespace there.
func TestInstall(t *testing.T) {
	tools := tools(t)
	dist, _ := makeRelease(t)
	root := t.TempDir()
	path := strings.Join([]string{tools, filepath.Join(root, "bin"), os.Getenv("PATH")}, string(os.PathListSeparator))
	env := append(os.Environ(), "KREW_ROOT="+root, "PATH="+path)
	command := func(name string, args ...string) *exec.Cmd {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		t.Cleanup(cancel)
		cmd := exec.CommandContext(ctx, filepath.Join(tools, name), args...)
		cmd.Env = env
		return cmd
	}
	run := func(want string, name string, args ...string) {
		t.Helper()
		if out, err := command(name, args...).CombinedOutput(); err != nil || !strings.Contains(string(out), want) {
			t.Fatalf("%s %s: %v\n%s\nwant %q", name, strings.Join(args, " "), err, out, want)
		}
	}
	manifest := filepath.Join(dist, "drey.yaml")
	run(fmt.Sprintf("all %d spec.platforms installed fine", len(platforms)), "validate-krew-manifest", "-manifest", manifest)
	run("Installed plugin: drey", "kubectl", "krew", "install", "--manifest="+manifest)
	run(version, "kubectl", "drey", "--version")

	c := cluster.Start(t)
	env = append(env, "KUBECONFIG="+c.Kubeconfig())
	install := filepath.Join(dist, "install.yaml")
	run("deployment.apps/drey serverside-applied", "kubectl", "apply", "--server-side", "--warnings-as-errors", "-f", install)
	run("drey.example.com/drey:"+strings.TrimPrefix(version, "v"), "kubectl", "get", "deployment", "drey", "-n", "drey-system", "-o", "jsonpath={.spec.template.spec.containers[*].image}")
	// Without nodes nothing serves the webhooks, which fail closed for drey's own objects.
	run("deleted", "kubectl", "delete", "validatingwebhookconfiguration", "drey")
	run("created", "kubectl", "drey", "targets", "create", "flink", "--kubernetes-namespace", "default", "-n", "default")
	run("flink", "kubectl", "get", "deploymenttargets.drey.dev", "-n", "default")

	text, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(manifest, []byte(strings.Replace(string(text), "sha256: ", "sha256: 0", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := command("validate-krew-manifest", "-manifest", manifest).CombinedOutput(); err == nil {
		t.Errorf("no error for a wrong checksum: %s", out)
	}
}

const version = "v0.1.0"

// platforms are the platform of this machine and two others.
var platforms = func() []string {
	all := []string{runtime.GOOS + "/" + runtime.GOARCH, "windows/amd64"}
	if all[0] == "darwin/arm64" {
		return append(all, "linux/amd64")
	}
	return append(all, "darwin/arm64")
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

// makeRelease makes a release in a directory, which is served at the download URL.
func makeRelease(t *testing.T) (dir, url string) {
	t.Helper()
	dir = t.TempDir()
	server := httptest.NewServer(http.FileServer(http.Dir(dir)))
	t.Cleanup(server.Close)
	path := filepath.Join(t.TempDir(), "drey")
	build(t, "../../..", path, "-ldflags=-X main.version="+version, "./cmd/drey")
	o := release.Options{
		Version: version, Revision: "abc", Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Repository: "drey.example.com/drey",
		URL: server.URL, Platforms: platforms, Root: "../../..", Log: func(string) {},
		Build: func(context.Context, string) ([]byte, error) { return os.ReadFile(path) }, // krew runs it only on this platform
		Run: func(ctx context.Context, args ...string) ([]byte, error) {
			return exec.CommandContext(ctx, path, args...).Output()
		},
	}
	if err := release.Make(t.Context(), o, dir); err != nil {
		t.Fatal(err)
	}
	return dir, server.URL
}

func build(t *testing.T, dir, out string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"build", "-o", out}, args...)...)
	cmd.Dir = dir
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, text)
	}
}
