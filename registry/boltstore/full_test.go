//go:build linux

package boltstore_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/boltstore"
	"drey.dev/drey/registry/storetest"
)

// TestDiskFull: a write on a full disk changes nothing.
func TestDiskFull(t *testing.T) {
	t.Run("the_file_cannot_grow", func(t *testing.T) {
		if !inOwnProcess(t, nil) {
			return
		}
		path := filled(t)
		s := open(t, path)
		unlimit := limitFiles(t, size(t, path)+64<<10)
		fillUp(t, s, path, "file too large", unlimit)
	})
	t.Run("a_page_cannot_be_written", func(t *testing.T) {
		if !inOwnProcess(t, nil) {
			return
		}
		path := filled(t)
		used := size(t, path)
		if err := os.Truncate(path, used+8<<20); err != nil { // so it need not grow, and fails in the middle
			t.Fatal(err)
		}
		s := open(t, path)
		unlimit := limitFiles(t, used+64<<10+100) // in the middle of a page, too
		fillUp(t, s, path, "file too large", unlimit)
	})
	t.Run("a_filesystem_is_full", func(t *testing.T) {
		if !inOwnProcess(t, &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS, // a user namespace permits mounts
			UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		}) {
			return
		}
		dir := t.TempDir()
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=768k"); err != nil {
			t.Skipf("no tmpfs can be mounted: %v", err)
		}
		t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
		path := filepath.Join(dir, "registry.db")
		writeFile(t, path, readFile(t, filled(t)))
		fillUp(t, open(t, path), path, "no space left on device", func() {
			if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT, "size=32m"); err != nil {
				t.Fatal(err)
			}
		})
	})
}

// TestUpgradeDiskFull: an upgrade on a full disk is refused.
func TestUpgradeDiskFull(t *testing.T) {
	if !inOwnProcess(t, nil) {
		return
	}
	want := varied(2000)
	path := schema1(t, want, nil)
	used := size(t, path)
	if err := os.Truncate(path, used+16<<20); err != nil {
		t.Fatal(err)
	}
	unlimit := limitFiles(t, used+64<<10)
	_, err := boltstore.Open(path)
	if err == nil || !strings.Contains(err.Error(), "nothing was changed") || !strings.Contains(err.Error(), "upgrade ") {
		t.Errorf("got error %v, want one that says that nothing was changed, and of what", err)
	}
	contents, err := boltstore.Check(path)
	if v := schemaOf(t, path); v != "1" || err != nil || !maps.Equal(contents, count(want)) {
		t.Errorf("it has schema %s, and Check finds %v, %v", v, contents, err)
	}
	unlimit()
	if got := dump(t, path); got != text(t, want) {
		t.Error("with room again, it was opened with other content")
	}
	if v := schemaOf(t, path); v != "2" {
		t.Errorf("with room again, it has schema %s", v)
	}
}

// fillUp writes until the disk is full, and beyond: each write that fails says
// that it changed nothing, and why; reads go on; and with room again, so do
// writes, to the same store.
func fillUp(t *testing.T, s *boltstore.Store, path, why string, makeRoom func()) {
	t.Helper()
	expected := &ledger{kept: map[registry.Key]registry.Object{}}
	for _, kind := range []registry.Kind{registry.DeploymentTarget, registry.Deployment, registry.Namespace} {
		list, err := s.List(t.Context(), kind, "", registry.Cached)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range list {
			expected.kept[o.Key()] = o
		}
	}
	observed := &ledger{kept: map[registry.Key]registry.Object{}}
	for _, kind := range []registry.Kind{registry.DeploymentTarget, registry.Deployment, registry.Namespace} {
		if err := s.Watch(t.Context(), kind, observed.observe); err != nil {
			t.Fatal(err)
		}
	}

	const writers = 8
	var wait sync.WaitGroup
	for w := range writers { // parallel writers share transactions: many fail together
		wait.Go(func() {
			for i, failures := 0, 0; failures < 10; i++ {
				if i == 10_000 {
					t.Error("the disk does not get full: nothing is tested")
					return
				}
				if !expected.write(t, s, w, i, why) {
					failures++
				}
			}
		})
	}
	wait.Wait()
	written, failed := expected.written, expected.failed
	if written < 2*writers || failed < 10*writers {
		t.Errorf("%d writes succeeded and %d failed: nothing was tested", written, failed)
	}
	expected.compare(t, "while the disk is full, reads", objectsByKey(t, s))
	expected.compare(t, "while the disk is full, a watch", observed.kept)
	if err := s.Backup(io.Discard); err != nil {
		t.Errorf("while the disk is full, a backup: %v", err)
	}

	makeRoom()
	for w := range writers {
		wait.Go(func() {
			for i := range 30 {
				if !expected.write(t, s, w, 1_000_000+i, "") {
					t.Error("a write failed although there is room again")
				}
			}
		})
	}
	wait.Wait()
	expected.compare(t, "with room again, reads", objectsByKey(t, s))
	expected.compare(t, "with room again, a watch", observed.kept)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if contents, err := boltstore.Check(path); err != nil {
		t.Errorf("Check finds %v, %v", contents, err)
	}
	expected.compare(t, "reopened, it", objectsByKey(t, open(t, path)))
	t.Logf("%d writes until the disk was full, %d failed, %d more", written, failed, expected.written-written)
}

// ledger has the acknowledged objects of a store.
type ledger struct {
	mu              sync.Mutex
	kept            map[registry.Key]registry.Object
	written, failed int
}

// write creates, updates or deletes an object that no other writer touches, and
// reports whether that succeeded.
func (l *ledger) write(t *testing.T, s *boltstore.Store, writer, i int, why string) bool {
	o := storetest.Target("default", fmt.Sprintf("w%d-%d", writer, i), "staging")
	o.Kind, o.Spec = registry.Deployment, json.RawMessage(fmt.Sprintf(`{"text":%q}`, strings.Repeat("z", i%7*700)))
	var err error
	switch previous, there := l.last(writer, i-1); {
	case i%5 == 3 && there:
		previous.Metadata.Labels = map[string]string{"grown": strings.Repeat("l", 3000)}
		o, err = s.Update(t.Context(), previous, previous.Metadata.ResourceVersion)
	case i%5 == 4 && there:
		if err = s.Delete(t.Context(), previous.Key(), previous.Metadata.ResourceVersion); err == nil {
			l.observe(registry.Event{Change: registry.Deleted, Object: previous})
			return true
		}
	default:
		o, err = s.Create(t.Context(), o)
	}
	if err == nil {
		l.observe(registry.Event{Change: registry.Added, Object: o})
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed++
	if !strings.Contains(err.Error(), "nothing was changed") || !strings.Contains(err.Error(), why) {
		t.Errorf("got error %v, want one that says %q, and that nothing was changed", err, why)
	}
	if strings.Contains(why, "too large") && !strings.Contains(err.Error(), "raise the limit") || strings.Contains(why, "no space") && !strings.Contains(err.Error(), "free some space") {
		t.Errorf("the error does not say what to do: %v", err)
	}
	return false
}

func (l *ledger) last(writer, i int) (registry.Object, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	o, ok := l.kept[registry.Key{Kind: registry.Deployment, Namespace: "default", Name: fmt.Sprintf("w%d-%d", writer, i)}]
	return o.Clone(), ok
}

func (l *ledger) observe(e registry.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.written++
	l.kept[e.Object.Key()] = e.Object
	if e.Change == registry.Deleted {
		delete(l.kept, e.Object.Key())
	}
}

func (l *ledger) compare(t *testing.T, source string, got map[registry.Key]registry.Object) {
	t.Helper()
	for key, o := range l.kept {
		if there, ok := got[key]; !ok {
			t.Errorf("%s: %v was acknowledged and is lost", source, key)
		} else if fmt.Sprint(there) != fmt.Sprint(o) {
			t.Errorf("%s: %v is\n%v\nand was acknowledged as\n%v", source, key, there, o)
		}
	}
	for key := range got {
		if _, ok := l.kept[key]; !ok {
			t.Errorf("%s: %v is there and should not be", source, key)
		}
	}
}

func objectsByKey(t *testing.T, s *boltstore.Store) map[registry.Key]registry.Object {
	t.Helper()
	found := map[registry.Key]registry.Object{}
	for _, kind := range []registry.Kind{registry.DeploymentTarget, registry.Deployment, registry.Namespace} {
		list, err := s.List(t.Context(), kind, "", registry.Cached)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range list {
			found[o.Key()] = o
		}
	}
	return found
}

// inOwnProcess runs the test in a process of its own, and reports whether this
// is it.
func inOwnProcess(t *testing.T, attr *syscall.SysProcAttr) bool {
	t.Helper()
	if os.Getenv("DREY_TEST_OWN_PROCESS") == t.Name() {
		signal.Ignore(syscall.SIGXFSZ) // a write beyond the limit is an error then, as on a full disk
		return true
	}
	pattern := "^" + strings.ReplaceAll(t.Name(), "/", "$/^") + "$"
	cmd := exec.Command(os.Args[0], "-test.run="+pattern, "-test.v", "-test.timeout=1m")
	cmd.Env = append(slices.Clone(os.Environ()), "DREY_TEST_OWN_PROCESS="+t.Name())
	cmd.SysProcAttr = attr
	out, err := cmd.CombinedOutput()
	var failed *exec.ExitError
	switch {
	case err != nil && !errors.As(err, &failed):
		t.Skipf("no such process can be started: %v", err)
	case err != nil:
		t.Errorf("%v\n%s", err, out)
	case strings.Contains(string(out), "--- SKIP"):
		t.Skipf("%s", out)
	default:
		t.Logf("%s", out)
	}
	return false
}

// limitFiles makes all writes beyond a size fail, until the returned function
// is called.
func limitFiles(t *testing.T, bytes int64) (unlimit func()) {
	t.Helper()
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: uint64(bytes), Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
			t.Fatal(err)
		}
	}
}

func size(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}
