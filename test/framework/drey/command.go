package drey

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Main runs the tests of a package after it has built the program, whose path it
// stores in program. It returns the exit code for os.Exit.
func Main(m *testing.M, program *string) int {
	dir, err := os.MkdirTemp("", "drey-test-")
	if err == nil {
		defer os.RemoveAll(dir)
		*program, err = Build(context.Background(), dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// Run runs a command of drey, and returns its combined output and its exit code.
func Run(t testing.TB, program, stdin string, args ...string) (output string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return out.String(), exit.ExitCode()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.String(), 0
}
