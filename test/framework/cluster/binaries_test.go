package cluster

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// pretend makes files that pass for the programs, but for those in without.
func pretend(t *testing.T, dir string, without ...string) {
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

func TestAssetsInsteadOfABuild(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(kubebuilderAssets, dir)
	pretend(t, dir, "kube-controller-manager")
	_, err := Binaries(t.Context(), io.Discard)
	if err == nil {
		t.Fatal("a missing program went unnoticed")
	}
	for _, want := range []string{"kube-controller-manager is missing", dir, "unset KUBEBUILDER_ASSETS"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %q", want, err)
		}
	}
	pretend(t, dir)
	if got, err := Binaries(t.Context(), io.Discard); err != nil || got != dir {
		t.Errorf("got %s, %v; want %s", got, err, dir)
	}
}

// Once built, the programs cost neither time nor output.
func TestWarmBinaries(t *testing.T) {
	dir := filepath.Dir(Shared(t).Kubectl())
	if os.Getenv(kubebuilderAssets) != "" {
		t.Skip("nothing is built with " + kubebuilderAssets)
	}
	var said bytes.Buffer
	began := time.Now()
	got, err := Binaries(t.Context(), &said)
	if err != nil || got != dir || said.Len() > 0 {
		t.Errorf("got %s, %v, and %q; want %s and no word", got, err, &said, dir)
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

// Of those who miss the programs at once one builds, and the others wait and say
// so; who comes too late to wait gets what is there.
func TestOneBuildAtATime(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "control-plane", "key")
	var builds atomic.Int64
	var said [3]line
	wait := func() (n int) {
		for i := range said {
			if strings.Contains(said[i].String(), "waiting for another process") {
				n++
			}
		}
		return n
	}
	var group sync.WaitGroup
	for i := range said {
		group.Go(func() {
			err := fill(t.Context(), dir, &said[i], func(into string) error {
				builds.Add(1)
				for deadline := time.Now().Add(30 * time.Second); wait() < len(said)-1 && time.Now().Before(deadline); {
					time.Sleep(10 * time.Millisecond) // until the others are there
				}
				if complete(dir) == nil {
					t.Error("the programs are there before they are built")
				}
				pretend(t, into)
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if builds.Load() != 1 || wait() != len(said)-1 {
		t.Errorf("%d builds, and %d say that they wait; want one build, and the others to say so", builds.Load(), wait())
	}
	if err := complete(dir); err != nil {
		t.Error(err)
	}
}

// line is what somebody has said, for others to read meanwhile.
type line struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *line) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *line) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// A build that fails leaves nothing that passes for one that did not.
func TestFailedBuild(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "key")
	broken := errors.New("broken")
	err := fill(t.Context(), dir, io.Discard, func(into string) error {
		pretend(t, into)
		return broken
	})
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	err = fill(t.Context(), dir, io.Discard, func(into string) error {
		pretend(t, into, "kubectl")
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
