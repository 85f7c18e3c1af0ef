package drey

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// BuildIn is Build for the tests of another module. root is the directory of drey's own
// module, whose go.sum has the checksums of drey's dependencies.
func BuildIn(ctx context.Context, root, dir string) (string, error) {
	path, err := filepath.Abs(filepath.Join(dir, "drey"))
	if err != nil {
		return "", err
	}
	if out, err := exec.CommandContext(ctx, "go", "build", "-C", root, "-o", path, "./cmd/drey").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build drey: %w\n%s", err, out)
	}
	return path, nil
}

// buildShared compiles drey into a file in the user's cache, and links it to path. All tests of a
// source tree share the file, so one of them links the program, and only if the source changed.
func buildShared(ctx context.Context, args []string, path string) error {
	mod, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	key := sha256.Sum256(fmt.Append(mod, args, os.Getenv("GOFLAGS")))
	dir := filepath.Join(cache, "drey", "programs", hex.EncodeToString(key[:8]))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close() // which unlocks
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	shared := filepath.Join(dir, "drey")
	if out, err := exec.CommandContext(ctx, "go", append(args, "-o", shared, "drey.dev/drey/cmd/drey")...).CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if os.Link(shared, path) == nil { // go build replaces the file, and never writes to it
		return nil
	}
	content, err := os.ReadFile(shared) // another file system
	if err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o755)
}
