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

// Save makes the file at path out of what fill writes, all of it or nothing:
// fill gets a file beside it, which is brought to disk, checked, and put in its
// place. The error is fs.ErrExist if there is a file and replace is not set.
func Save(path string, replace bool, fill func(*os.File) error) (Contents, error) {
	if _, err := os.Lstat(path); err == nil && !replace {
		return nil, &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // it is gone if all went well
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

// place moves a file. Without replace it is for one process of many to succeed.
func place(from, to string, replace bool) error {
	if !replace {
		err := os.Link(from, to)
		if err == nil || errors.Is(err, fs.ErrExist) {
			return err
		} // a filesystem without links
	}
	return os.Rename(from, to)
}

// Backup writes a copy of the file, as it is after some acknowledged write, to
// w. Writes go on meanwhile, and the file grows with them until w has all.
func (s *Store) Backup(w io.Writer) error {
	return s.view(context.Background(), func(tx *bbolt.Tx) error {
		_, err := tx.WriteTo(w)
		return err
	})
}

// Copy writes what the file at path has to w. It is for a file that no process
// has open; else the error is [ErrInUse].
func Copy(path string, w io.Writer) error {
	f, err := openLocked(path, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it was only read
	if _, err := check(path, f); err != nil {
		return err
	}
	_, err = io.Copy(w, f)
	return err
}

// Restore puts a copy of the file backup in the place of the one at path, which
// no process may have open, and need not be readable. That one is kept: it has
// the returned name afterwards, unless there was none. With an error and a name,
// the copy is in its place, and may not survive a crash.
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
	if err != nil && previous != "" && stillAt(path, held) { // else it has no other name
		return "", nil, errors.Join(err, os.Remove(previous))
	}
	return previous, contents, err
}

// keep gives a file a second name, or copies it where that cannot be.
func keep(f *os.File, name string) error {
	err := os.Link(f.Name(), name)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	kept, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // a name of ours
	if err != nil {
		return err
	}
	_, err = io.Copy(kept, f)
	if err = errors.Join(err, kept.Sync(), kept.Close()); err != nil {
		return errors.Join(err, os.Remove(name)) // a part of it is of no use
	}
	return nil
}

// syncDir brings the names in a directory to disk.
func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // the directory that we are told of
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
