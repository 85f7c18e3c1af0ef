package cluster

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
)

// kubebuilderAssets is the environment variable for the directory of the binaries, as in
// controller-runtime's envtest.
const kubebuilderAssets = "KUBEBUILDER_ASSETS"

// Binaries returns the directory with etcd, kube-apiserver, kube-controller-manager and
// kubectl: KUBEBUILDER_ASSETS, or else the directory in the user's cache for the versions of
// bin/go.mod. It builds missing binaries and writes the progress of the build to progress.
func Binaries(ctx context.Context, progress io.Writer) (string, error) {
	if dir := os.Getenv(kubebuilderAssets); dir != "" {
		if err := complete(dir); err != nil {
			return "", fmt.Errorf("%w: add it, or unset %s to build the binaries", err, kubebuilderAssets)
		}
		return filepath.Abs(dir)
	}
	m, err := findModule()
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "drey", "control-plane", m.key())
	return dir, fill(ctx, dir, progress, func(dir string) error {
		return build(ctx, m, dir, progress)
	})
}

// complete returns an error that names the first binary missing in dir.
func complete(dir string) error {
	for _, program := range []string{string(Etcd), string(APIServer), string(ControllerManager), "kubectl"} {
		path := filepath.Join(dir, program)
		info, err := os.Stat(path)
		if err != nil {
			return fmt.Errorf("%s is missing: %w", program, err)
		}
		if !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
			return fmt.Errorf("%s is not executable", path)
		}
	}
	return nil
}

// module is the Go module in bin. The binaries are its tools.
type module struct {
	dir              string
	kubernetes, etcd string // versions
	sum              [sha256.Size]byte
}

const modulePath = "drey.dev/drey/test/framework/cluster/bin"

// findModule searches for bin from the working directory upwards, as the go command
// searches for go.mod; running the go command would take longer than a warm start. Outside
// of the checkout it uses the path of this file at compile time.
func findModule() (module, error) {
	start, err := os.Getwd()
	if err != nil {
		return module{}, err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if m, err := readModule(filepath.Join(dir, "test", "framework", "cluster", "bin")); !errors.Is(err, os.ErrNotExist) {
			return m, err
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	_, here, _, _ := runtime.Caller(0)
	m, err := readModule(filepath.Join(filepath.Dir(here), "bin"))
	if err != nil {
		return m, fmt.Errorf("find test/framework/cluster/bin from %s upwards: %w", start, err)
	}
	return m, nil
}

// readModule reads bin/go.mod. It returns os.ErrNotExist for the go.mod of another module.
func readModule(dir string) (module, error) {
	content, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return module{}, err
	}
	if !strings.HasPrefix(string(content), "module "+modulePath+"\n") {
		return module{}, fmt.Errorf("%s is not %s: %w", dir, modulePath, os.ErrNotExist)
	}
	m := module{dir: dir, sum: sha256.Sum256(content)}
	for path, version := range map[string]*string{"k8s.io/kubernetes": &m.kubernetes, "go.etcd.io/etcd/server/v3": &m.etcd} {
		found := regexp.MustCompile(`(?m)^\s*` + regexp.QuoteMeta(path) + ` (v\S+)`).FindSubmatch(content)
		if found == nil {
			return module{}, fmt.Errorf("%s/go.mod does not require %s", dir, path)
		}
		*version = string(found[1])
	}
	return m, nil
}

// key returns the directory name of a build: the versions, and a hash of go.mod.
func (m module) key() string {
	return fmt.Sprintf("kubernetes-%s-etcd-%s-%s-%s-%x", m.kubernetes, m.etcd, runtime.GOOS, runtime.GOARCH, m.sum[:4])
}
