package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// fill builds the binaries into dir unless it is complete. One process at a time builds, in
// a temporary directory that it renames, so dir is complete or missing. A build removes the
// remains of an interrupted one.
func fill(ctx context.Context, dir string, progress io.Writer, build func(dir string) error) error {
	if complete(dir) == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	lock, err := lockFile(ctx, dir+".lock", progress)
	if err != nil {
		return err
	}
	defer lock.Close()
	if complete(dir) == nil { // built by another process meanwhile
		return nil
	}

	unfinished := dir + ".unfinished"
	if err := errors.Join(os.RemoveAll(unfinished), os.RemoveAll(dir)); err != nil {
		return err
	}
	if err := os.Mkdir(unfinished, 0o755); err != nil {
		return err
	}
	err = build(unfinished)
	if err == nil {
		err = complete(unfinished)
	}
	if err == nil {
		err = os.Rename(unfinished, dir)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("build the control plane: %w", err), os.RemoveAll(unfinished))
	}
	return nil
}

// lockFile takes an exclusive lock, which is held until the file is closed.
func lockFile(ctx context.Context, path string, progress io.Writer) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for reported := (time.Time{}); ; {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return file, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			file.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if time.Since(reported) > progressInterval {
			reported = time.Now()
			fmt.Fprintln(progress, "waiting for the build of another process")
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			file.Close()
			return nil, context.Cause(ctx)
		}
	}
}
