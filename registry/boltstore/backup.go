package boltstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
)

// Save atomically creates the file at path: fill writes a temporary file, which is synced, checked and
// renamed. The error is fs.ErrExist if there is a file and replace is not set.
func Save(path string, replace bool, fill func(*os.File) error) (Contents, error) {
	if _, err := os.Lstat(path); err == nil && !replace {
		return nil, &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // missing on success
	if err := errors.Join(fill(f), f.Sync(), f.Close()); err != nil {
		return nil, err
	}
	contents, err := Check(f.Name())
	if err != nil {
		return nil, err
	}
	if err := place(f.Name(), path, replace); err != nil {
		return nil, err
	}
	return contents, syncDir(filepath.Dir(path))
}

// place renames a file. Without replace, only one of several processes succeeds.
func place(from, to string, replace bool) error {
	if !replace {
		err := os.Link(from, to)
		if err == nil || errors.Is(err, fs.ErrExist) {
			return err
		} // the filesystem has no hard links
	}
	return os.Rename(from, to)
}

// Backup writes a consistent copy of the file to w. It does not block writes; the file grows with them
// until Backup returns.
func (s *Store) Backup(w io.Writer) error {
	return s.view(context.Background(), func(tx *bbolt.Tx) error {
		_, err := tx.WriteTo(w)
		return err
	})
}

// Copy writes the content of a file that no process has open to w; else the error is [ErrInUse].
func Copy(path string, w io.Writer) error {
	f, err := openLocked(path, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // opened for reading
	if _, err := check(path, f); err != nil {
		return err
	}
	_, err = io.Copy(w, f)
	return err
}

// Restore replaces the file at path, which no process may have open and which may be damaged, by a copy
// of backup. The previous file is renamed to the returned name; "" if there was none. With an error and
// a name, the file was replaced, but may not survive a crash.
func Restore(path, backup string) (previous string, contents Contents, err error) {
	if _, err := Check(backup); err != nil {
		return "", nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", nil, err
	}
	held, err := openLocked(path, os.O_RDWR, 0)
	switch {
	case err == nil:
		defer held.Close() //nolint:errcheck // for its lock alone
		previous = path + "." + time.Now().UTC().Format("20060102T150405.000Z")
		if err := keep(held, previous); err != nil {
			return "", nil, fmt.Errorf("keep the previous file as %s: %w", previous, err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return "", nil, err
	}
	contents, err = Save(path, held != nil, func(f *os.File) error { return Copy(backup, f) })
	if err != nil && previous != "" && stillAt(path, held) { // the file at path is the previous one
		return "", nil, errors.Join(err, os.Remove(previous))
	}
	return previous, contents, err
}

// keep links a file to a second name, or copies it if the filesystem has no hard links.
func keep(f *os.File, name string) error {
	err := os.Link(f.Name(), name)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	kept, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the name is generated
	if err != nil {
		return err
	}
	_, err = io.Copy(kept, f)
	if err = errors.Join(err, kept.Sync(), kept.Close()); err != nil {
		return errors.Join(err, os.Remove(name)) // incomplete
	}
	return nil
}

// syncDir syncs a directory.
func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // the path is configuration
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
