package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"drey.dev/drey/cmd/drey/cli/command"
)

func TestBackupRestore(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(t.TempDir(), "backup.db")
	d := start(t, dir)
	run := func(code int, says string, args ...string) {
		t.Helper()
		if out, got := runDrey(t, "", args); got != code || !strings.Contains(out, says) {
			t.Errorf("drey %s: %d, want %d and %q: %s", strings.Join(args, " "), got, code, says, out)
		}
	}
	t.Setenv("DREY_SERVER", d.REST)
	run(0, "created", "targets", "create", "before", "--kubernetes-namespace", "x")
	run(0, "1 DeploymentTarget,", "backup", "--data-dir", dir, file)
	run(command.ExitUsage, "--overwrite", "backup", "--data-dir", dir, file)
	run(0, "created", "targets", "create", "after", "--kubernetes-namespace", "x")
	run(command.ExitFailure, "another process", "restore", "--data-dir", dir, file)
	run(0, "2 DeploymentTargets,", "backup", "--data-dir", dir, file+".2")
	run(0, "2 DeploymentTargets,", "backup", "--data-dir", dir, file+".2", "--overwrite")
	if err := d.Kill(); err != nil { // its socket is left behind
		t.Fatal(err)
	}
	run(0, "2 DeploymentTargets,", "backup", "--data-dir", dir, file+".3")

	damaged := filepath.Join(dir, "registry.db")
	if err := os.Truncate(damaged, 5000); err != nil {
		t.Fatal(err)
	}
	run(command.ExitFailure, "drey restore --data-dir "+dir, "serve", "--data-dir", dir)
	run(command.ExitFailure, "damaged", "backup", "--data-dir", dir, file+".4")
	run(command.ExitFailure, "damaged", "restore", "--data-dir", dir, damaged)
	run(command.ExitFailure, "no such file", "restore", "--data-dir", dir, file+".none")
	run(0, "previous registry: "+damaged, "restore", "--data-dir", dir, file)
	d = start(t, dir)
	t.Setenv("DREY_SERVER", d.REST)
	run(0, "deploymenttarget/before\n", "targets", "list", "-o", "name")
	run(command.ExitNotFound, "after", "targets", "get", "after")
	if err := d.Stop(); err != nil {
		t.Fatal(err)
	}

	elsewhere := filepath.Join(t.TempDir(), "new", "data")
	run(0, "2 DeploymentTargets,", "restore", "--data-dir", elsewhere, file+".3")
	run(command.ExitFailure, "no such file", "backup", "--data-dir", filepath.Join(elsewhere, "nowhere"), file+".5")
}
