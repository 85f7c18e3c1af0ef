package drey

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
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
