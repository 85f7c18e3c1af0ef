package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"drey.dev/drey/cmd/drey/cli/command"
	"drey.dev/drey/registry/rest"
)

// TestExitCodes: the exit codes that the help of drey lists are those of commands.
func TestExitCodes(t *testing.T) {
	d := start(t, t.TempDir())
	t.Setenv("DREY_SERVER", d.REST)
	if out, code := runDrey(t, "", []string{"targets", "create", "here", "--kubernetes-namespace", "flink"}); code != 0 {
		t.Fatal(out)
	}
	pod := "apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {component: jobmanager}}\nspec: {containers: [{name: jobmanager, image: 'flink:2.2'}]}\n"
	for _, c := range []struct {
		code  int
		stdin string
		args  string
	}{
		{0, "", "targets get here"},
		{0, pod, "check -f - -n flink"},
		{command.ExitFailure, "", "backup --data-dir " + filepath.Join(t.TempDir(), "none") + " -"},
		{command.ExitFailure, "a: {", "check -f -"},
		{command.ExitUsage, "a: {", "apply -f -"},
		{command.ExitUsage, "", "targets get here --unknown"},
		{command.ExitUsage, "", "check -f -"},
		{command.ExitNotFound, "", "targets get there"},
		{command.ExitRefused, "", "targets create here --kubernetes-namespace flink"},
		{command.ExitUnavailable, "", "targets get here --server http://127.0.0.1:1"},
		{command.ExitDenied, pod, "check -f - -n elsewhere"},
	} {
		if out, code := runDrey(t, c.stdin, strings.Fields(c.args)); code != c.code {
			t.Errorf("drey %s: exit code %d, want %d: %s", c.args, code, c.code, out)
		}
		if help := New(rest.Build{}).Long; !strings.Contains(help, fmt.Sprintf("\n  %d  ", c.code)) {
			t.Errorf("the help of drey does not list exit code %d", c.code)
		}
	}
}

// TestExitCodeInterrupted: a signal that ends a command is an exit code of its own; another error
// meanwhile, such as that of a server that stops, keeps its code.
func TestExitCodeInterrupted(t *testing.T) {
	signal := errors.New("interrupt signal received")
	ctx, cancel := context.WithCancelCause(t.Context())
	if code := ExitCode(ctx, context.Canceled); code != command.ExitFailure {
		t.Errorf("without a signal: exit code %d, want %d", code, command.ExitFailure)
	}
	cancel(signal)
	for err, want := range map[error]int{
		fmt.Errorf("not ready: %w", context.Canceled):                  command.ExitInterrupted,
		fmt.Errorf("list pods: %w", signal):                            command.ExitInterrupted,
		command.WithCode(command.ExitInterrupted, errors.New("ended")): command.ExitInterrupted,
		errors.New("close the registry: disk full"):                    command.ExitFailure,
		command.WithCode(command.ExitRefused, errors.New("no")):        command.ExitRefused,
	} {
		if code := ExitCode(ctx, err); code != want {
			t.Errorf("%v: exit code %d, want %d", err, code, want)
		}
	}
}
