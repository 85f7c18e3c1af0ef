package boltstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/boltstore"
	"drey.dev/drey/registry/storetest"
)

// TestBackupConsistent: a backup among writers is a state of the registry.
func TestBackupConsistent(t *testing.T) {
	const writers, backups = 8, 12
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "registry.db"))
	var begun, acknowledged [writers]atomic.Int64
	stop := make(chan struct{})
	var wait sync.WaitGroup
	for w := range writers {
		wait.Go(func() {
			for i := int64(0); ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				begun[w].Store(i + 1)
				if _, err := s.Create(t.Context(), storetest.Target(fmt.Sprint("w", w), fmt.Sprintf("t%06d", i), "staging")); err != nil {
					t.Error(err)
					return
				}
				acknowledged[w].Store(i + 1)
			}
		})
	}
	during := int64(0)
	for b := range backups {
		copied := filepath.Join(dir, fmt.Sprintf("backup-%d.db", b))
		var least, most [writers]int64
		for w := range writers {
			least[w] = acknowledged[w].Load()
		}
		contents, err := boltstore.Save(copied, false, func(f *os.File) error { return s.Backup(f) })
		if err != nil {
			t.Fatal(err)
		}
		total := 0
		for w := range writers {
			most[w] = begun[w].Load()
			during += most[w] - least[w]
		}
		restored := open(t, copied)
		for w := range writers {
			list, err := restored.List(t.Context(), registry.DeploymentTarget, fmt.Sprint("w", w), registry.Cached)
			if err != nil {
				t.Fatal(err)
			}
			total += len(list)
			if n := int64(len(list)); n < least[w] || n > most[w] {
				t.Errorf("backup %d has %d of writer %d: %d were acknowledged before it, %d were begun when it ended", b, n, w, least[w], most[w])
			}
			for i, o := range list {
				if want := fmt.Sprintf("t%06d", i); o.Metadata.Name != want {
					t.Errorf("backup %d lacks %s of writer %d, and has later ones", b, want, w)
					break
				}
			}
		}
		if contents[registry.DeploymentTarget] != total {
			t.Errorf("backup %d: Save found %v, and there are %d", b, contents, total)
		}
	}
	close(stop)
	wait.Wait()
	if during == 0 {
		t.Error("nobody wrote during a backup: nothing was tested")
	}
	t.Logf("%d writes during %d backups", during, backups)
}

// TestBackupConcurrentWrites: a backup does not block writes.
func TestBackupConcurrentWrites(t *testing.T) {
	s := open(t, filled(t))
	want := objects(t, s)
	copied := filepath.Join(t.TempDir(), "registry.db")
	_, err := boltstore.Save(copied, false, func(f *os.File) error {
		first := true
		return s.Backup(writerFunc(func(p []byte) (int, error) {
			for i := range 200 {
				if !first {
					break
				}
				mustCreate(t, s, storetest.Target("later", fmt.Sprint("t", i), strings.Repeat("x", 5000)))
			}
			first = false
			return f.Write(p)
		}))
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := dump(t, copied); got != want {
		t.Errorf("the backup has\n%s\nand it began with\n%s", got, want)
	}
}

// TestBackupFailure: a failed backup leaves no file.
func TestBackupFailure(t *testing.T) {
	s := open(t, filled(t))
	dir := t.TempDir()
	broken := errors.New("the client went away")
	_, err := boltstore.Save(filepath.Join(dir, "backup.db"), false, func(f *os.File) error {
		return s.Backup(writerFunc(func(p []byte) (int, error) {
			n, _ := f.Write(p[:len(p)/2])
			return n, broken
		}))
	})
	if err == nil || !strings.Contains(err.Error(), broken.Error()) { // bbolt tells the text alone
		t.Errorf("got error %v, want %q", err, broken)
	}
	// fill reports success, but Save checks what it wrote.
	_, err = boltstore.Save(filepath.Join(dir, "backup.db"), false, func(f *os.File) error {
		_, err := f.Write(readFile(t, filled(t))[:9000])
		return err
	})
	if _, ok := errors.AsType[*boltstore.DamageError](err); !ok {
		t.Errorf("half a file: got error %v, want a DamageError", err)
	}
	wantFiles(t, dir)
}

// TestSaveExisting: an existing file is replaced only on request.
func TestSaveExisting(t *testing.T) {
	path := filled(t)
	before := readFile(t, path)
	_, err := boltstore.Save(path, false, func(*os.File) error { t.Error("it was filled"); return nil })
	if !errors.Is(err, os.ErrExist) || !bytes.Equal(readFile(t, path), before) {
		t.Errorf("got error %v, want one that there is a file, which stays", err)
	}
}

// TestCopyOpenFile: a file that a process has open is not copied.
func TestCopyOpenFile(t *testing.T) {
	t.Parallel() // it waits for the lock
	path := filled(t)
	s := open(t, path)
	var copied bytes.Buffer
	if err := boltstore.Copy(path, &copied); !errors.Is(err, boltstore.ErrInUse) || copied.Len() > 0 {
		t.Errorf("open: got error %v and %d bytes, want ErrInUse and none", err, copied.Len())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	before := readFile(t, path)
	if err := boltstore.Copy(path, &copied); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(copied.Bytes(), before) || !bytes.Equal(readFile(t, path), before) {
		t.Error("the copy is another, or the file was changed")
	}
	writeFile(t, path, before[:len(before)/2])
	copied.Reset()
	if err := boltstore.Copy(path, &copied); err == nil || copied.Len() > 0 {
		t.Errorf("damaged: got error %v and %d bytes, want an error and none", err, copied.Len())
	}
}

// TestRestoreKeepsPrevious: a restore keeps the previous file.
func TestRestoreKeepsPrevious(t *testing.T) {
	backup := filled(t)
	want := dump(t, backup)
	for rule, before := range map[string][]byte{
		"a registry":         readFile(t, other(t)),
		"a damaged registry": readFile(t, backup)[:9000],
		"no bytes":           {},
	} {
		t.Run(strings.ReplaceAll(rule, " ", "_"), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "registry.db")
			writeFile(t, path, before)
			previous, contents, err := boltstore.Restore(path, backup)
			if err != nil {
				t.Fatal(err)
			}
			if filepath.Dir(previous) != filepath.Dir(path) || !bytes.Equal(readFile(t, previous), before) {
				t.Errorf("the previous file is not whole at %s", previous)
			}
			if contents[registry.DeploymentTarget] != 30 || dump(t, path) != want {
				t.Errorf("it has %v, want what the backup has", contents)
			}
			wantFiles(t, filepath.Dir(path), "registry.db", filepath.Base(previous))
		})
	}
}

// TestRestoreNoPrevious: a restore needs no previous file.
func TestRestoreNoPrevious(t *testing.T) {
	backup := filled(t)
	path := filepath.Join(t.TempDir(), "new", "registry.db")
	previous, _, err := boltstore.Restore(path, backup)
	if err != nil || previous != "" {
		t.Errorf("got %q, %v, want no previous file and no error", previous, err)
	}
	if dump(t, path) != dump(t, backup) {
		t.Error("it has other content than the backup")
	}
	wantFiles(t, filepath.Dir(path), "registry.db")
}

// TestRestoreRefused: a refused restore changes nothing.
func TestRestoreRefused(t *testing.T) {
	valid := readFile(t, filled(t))
	flipped := bytes.ReplaceAll(valid, []byte("flink-007"), []byte("flink-006")) // in free pages, too
	for rule, backup := range map[string][]byte{
		"cut off":      valid[:len(valid)/2],
		"flipped bits": flipped,
		"no bytes":     {},
		"text":         bytes.Repeat([]byte("targets:\n"), 4000),
	} {
		t.Run(strings.ReplaceAll(rule, " ", "_"), func(t *testing.T) {
			path := other(t)
			before := readFile(t, path)
			from := filepath.Join(t.TempDir(), "backup.db")
			writeFile(t, from, backup)
			_, _, err := boltstore.Restore(path, from)
			if damage, ok := errors.AsType[*boltstore.DamageError](err); !ok || damage.Path != from {
				t.Errorf("got error %v, want that the backup is damaged", err)
			}
			if !bytes.Equal(readFile(t, path), before) {
				t.Error("the file was changed")
			}
			wantFiles(t, filepath.Dir(path), "registry.db")
		})
	}
	t.Run("no_file", func(t *testing.T) {
		path := other(t)
		if _, _, err := boltstore.Restore(path, filepath.Join(t.TempDir(), "nowhere.db")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("got error %v", err)
		}
		wantFiles(t, filepath.Dir(path), "registry.db")
	})
}

// TestRestoreOpenFile: a restore is refused while the file is open.
func TestRestoreOpenFile(t *testing.T) {
	t.Parallel() // it waits for the lock
	backup, path := filled(t), other(t)
	s := open(t, path)
	want := objects(t, s)
	if _, _, err := boltstore.Restore(path, backup); !errors.Is(err, boltstore.ErrInUse) {
		t.Errorf("got error %v, want ErrInUse", err)
	}
	if got := objects(t, s); got != want {
		t.Errorf("it has %s, want %s", got, want)
	}
	mustCreate(t, s, storetest.Target("default", "later", "staging"))
	wantFiles(t, filepath.Dir(path), "registry.db")
}

// TestRestoreOpenBackup: a backup that is open is not restored.
func TestRestoreOpenBackup(t *testing.T) {
	t.Parallel() // it waits for the lock
	backup, path := filled(t), other(t)
	open(t, backup)
	if _, _, err := boltstore.Restore(path, backup); !errors.Is(err, boltstore.ErrInUse) {
		t.Errorf("got error %v, want ErrInUse", err)
	}
	wantFiles(t, filepath.Dir(path), "registry.db")
}

// other makes a file with one object.
func other(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "registry.db")
	s := open(t, path)
	mustCreate(t, s, storetest.Target("default", "other", "staging"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// wantFiles fails unless a directory has these files and no other.
func wantFiles(t testing.TB, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s has the files %q, want %q", dir, got, want)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
