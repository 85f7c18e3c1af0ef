package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"drey.dev/drey/test/framework/eventually"
)

// fakeBinaries creates executable files for the binaries, except the one in without.
func fakeBinaries(t *testing.T, dir string, without ...string) {
	t.Helper()
	for _, program := range []string{"etcd", "kube-apiserver", "kube-controller-manager", "kubectl"} {
		if len(without) > 0 && program == without[0] {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, program), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// TestBinariesKubebuilderAssets: the variable replaces a build, and must name all binaries.
func TestBinariesKubebuilderAssets(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(kubebuilderAssets, dir)
	fakeBinaries(t, dir, "kube-controller-manager")
	_, err := Binaries(t.Context(), io.Discard)
	if err == nil {
		t.Fatal("no error although a binary is missing")
	}
	for _, want := range []string{"kube-controller-manager is missing", dir, "unset KUBEBUILDER_ASSETS"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %q", want, err)
		}
	}
	fakeBinaries(t, dir)
	if got, err := Binaries(t.Context(), io.Discard); err != nil || got != dir {
		t.Errorf("got %s, %v; want %s", got, err, dir)
	}
}

// TestBinariesCached: cached binaries are returned without output.
func TestBinariesCached(t *testing.T) {
	dir := filepath.Dir(Shared(t).Kubectl())
	if os.Getenv(kubebuilderAssets) != "" {
		t.Skip("nothing is built with " + kubebuilderAssets)
	}
	var progress bytes.Buffer
	began := time.Now()
	got, err := Binaries(t.Context(), &progress)
	if err != nil || got != dir || progress.Len() > 0 {
		t.Errorf("got %s, %v, and %q; want %s and no output", got, err, &progress, dir)
	}
	t.Logf("took %s", time.Since(began))
	m, err := findModule()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{m.kubernetes, m.etcd, runtime.GOOS, runtime.GOARCH} {
		if !strings.HasPrefix(m.kubernetes, "v1.") || !strings.Contains(filepath.Base(dir), want) {
			t.Errorf("%s does not name %s", dir, want)
		}
	}
	t.Chdir(filepath.Join(m.dir, "..", ".."))
	if from, err := findModule(); err != nil || from != m {
		t.Errorf("from another directory of the checkout: %v, %v; want %v", from, err, m)
	}
}

// TestVersions: the modules are in the order of their versions, the newest last, and each has
// a directory of its own in the cache.
func TestVersions(t *testing.T) {
	t.Parallel()
	versions, err := Versions()
	if err != nil {
		t.Fatal(err)
	}
	all, err := findModules()
	if err != nil || len(versions) < 3 || len(all) != len(versions) {
		t.Fatalf("got the versions %v of %d modules, %v; want three at least", versions, len(all), err)
	}
	newest, err := findModule()
	if err != nil || all[len(all)-1] != newest {
		t.Errorf("got %v last, %v; want %v", all[len(all)-1], err, newest)
	}
	keys := map[string]bool{}
	minor := func(version string) (n int) {
		_, err := fmt.Sscanf(version, "1.%d", &n)
		if err != nil {
			t.Errorf("version %q: %v", version, err)
		}
		return n
	}
	for i, m := range all {
		keys[m.key()] = true
		if m != newest && filepath.Base(m.dir) != versions[i] {
			t.Errorf("%s builds Kubernetes %s", m.dir, m.kubernetes)
		}
		if i > 0 && minor(versions[i-1]) >= minor(versions[i]) {
			t.Errorf("got the order %v", versions)
		}
	}
	if len(keys) != len(all) {
		t.Errorf("got %d directories in the cache for %d versions", len(keys), len(all))
	}
	_, err = BinariesOf(t.Context(), "1.1", io.Discard)
	if err == nil || !strings.Contains(err.Error(), "use one of "+strings.Join(versions, ", ")) {
		t.Errorf("an unknown version: got %v, want the known ones", err)
	}
}

// TestFillConcurrent: of concurrent callers one builds, and the others report that they wait.
func TestFillConcurrent(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "control-plane", "key")
	var builds atomic.Int64
	var progress [3]output
	wait := func() (n int) {
		for i := range progress {
			if strings.Contains(progress[i].String(), "waiting for the build of another process") {
				n++
			}
		}
		return n
	}
	var group sync.WaitGroup
	for i := range progress {
		group.Go(func() {
			err := fill(t.Context(), dir, &progress[i], func(into string) error {
				builds.Add(1)
				for deadline := time.Now().Add(eventually.Timeout); wait() < len(progress)-1 && time.Now().Before(deadline); {
					time.Sleep(10 * time.Millisecond) // until the others wait
				}
				if complete(dir) == nil {
					t.Error("the directory is complete before the build")
				}
				fakeBinaries(t, into)
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if builds.Load() != 1 || wait() != len(progress)-1 {
		t.Errorf("%d builds, %d callers report that they wait; want 1 build, all others waiting", builds.Load(), wait())
	}
	if err := complete(dir); err != nil {
		t.Error(err)
	}
}

// output is a buffer for concurrent use.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *output) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *output) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// TestFillBuildFailure: a failed build leaves no directory.
func TestFillBuildFailure(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "key")
	broken := errors.New("broken")
	err := fill(t.Context(), dir, io.Discard, func(into string) error {
		fakeBinaries(t, into)
		return broken
	})
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	err = fill(t.Context(), dir, io.Discard, func(into string) error {
		fakeBinaries(t, into, "kubectl")
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "kubectl is missing") {
		t.Errorf("a build without kubectl: %v", err)
	}
	for _, left := range []string{dir, dir + ".unfinished"} {
		if _, err := os.Stat(left); err == nil {
			t.Errorf("%s is there", left)
		}
	}

	lock, err := lockFile(t.Context(), dir+".lock", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := fill(ctx, dir, io.Discard, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting for a build beyond the deadline: %v", err)
	}
}
