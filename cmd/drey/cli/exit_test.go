package cli

import (
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
