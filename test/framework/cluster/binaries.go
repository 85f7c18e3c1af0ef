package cluster

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

// kubebuilderAssets is the environment variable for the directory of the binaries, as in
// controller-runtime's envtest.
const kubebuilderAssets = "KUBEBUILDER_ASSETS"

// Binaries returns the directory with etcd, kube-apiserver, kube-controller-manager and
// kubectl: KUBEBUILDER_ASSETS, or else [BinariesOf] the newest of [Versions].
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
	return m.binaries(ctx, progress)
}

// BinariesOf returns the directory in the user's cache with the binaries of one of
// [Versions]. It builds missing binaries and writes the progress of the build to progress.
func BinariesOf(ctx context.Context, version string, progress io.Writer) (string, error) {
	all, err := findModules()
	if err != nil {
		return "", err
	}
	var versions []string
	for _, m := range all {
		if m.minor() == version {
			return m.binaries(ctx, progress)
		}
		versions = append(versions, m.minor())
	}
	return "", fmt.Errorf("no module builds Kubernetes %q: use one of %s", version, strings.Join(versions, ", "))
}

// Versions returns the minor versions of Kubernetes that drey is tested with, such as 1.30,
// from the oldest to the newest. They are the modules in bin and below.
func Versions() ([]string, error) {
	all, err := findModules()
	if err != nil {
		return nil, err
	}
	var versions []string
	for _, m := range all {
		versions = append(versions, m.minor())
	}
	return versions, nil
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

// module is a Go module with the binaries as its tools: bin of the newest version, and
// bin/MINOR of an older one.
type module struct {
	dir              string
	kubernetes, etcd string // versions
	sum              [sha256.Size]byte
}

const modulePath = "drey.dev/drey/test/framework/cluster/bin"

// binaries returns the directory of the binaries, and builds missing ones.
func (m module) binaries(ctx context.Context, progress io.Writer) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "drey", "control-plane", m.key())
	return dir, fill(ctx, dir, progress, func(dir string) error {
		return build(ctx, m, dir, progress)
	})
}

// minor returns the minor version of Kubernetes, such as 1.30.
func (m module) minor() string {
	major, rest, _ := strings.Cut(strings.TrimPrefix(m.kubernetes, "v"), ".")
	minor, _, _ := strings.Cut(rest, ".")
	return major + "." + minor
}

// findModules returns the modules of all versions, from the oldest to the newest.
func findModules() ([]module, error) {
	newest, err := findModule()
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(newest.dir)
	if err != nil {
		return nil, err
	}
	var all []module
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		m, err := readModule(filepath.Join(newest.dir, e.Name()), modulePath+"/"+e.Name())
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b module) int { // v1.9 before v1.10
		return cmp.Or(cmp.Compare(len(a.minor()), len(b.minor())), strings.Compare(a.minor(), b.minor()))
	})
	return append(all, newest), nil
}

// findModule searches for bin from the working directory upwards, as the go command
// searches for go.mod; running the go command would take longer than a warm start. Outside
// of the checkout it uses the path of this file at compile time.
func findModule() (module, error) {
	start, err := os.Getwd()
	if err != nil {
		return module{}, err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if m, err := readModule(filepath.Join(dir, "test", "framework", "cluster", "bin"), modulePath); !errors.Is(err, os.ErrNotExist) {
			return m, err
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	_, here, _, _ := runtime.Caller(0)
	m, err := readModule(filepath.Join(filepath.Dir(here), "bin"), modulePath)
	if err != nil {
		return m, fmt.Errorf("find test/framework/cluster/bin from %s upwards: %w", start, err)
	}
	return m, nil
}

// readModule reads the go.mod in dir. It returns os.ErrNotExist if its path is another one.
func readModule(dir, path string) (module, error) {
	content, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return module{}, err
	}
	if !strings.HasPrefix(string(content), "module "+path+"\n") {
		return module{}, fmt.Errorf("%s is not %s: %w", dir, path, os.ErrNotExist)
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
