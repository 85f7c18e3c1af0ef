package cli

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"drey.dev/drey/registry/rest"
)

// TestHelp: every command says what it does and shows an example, within the width of help, and
// every example is a command of drey with flags that exist.
func TestHelp(t *testing.T) {
	root := New(rest.Build{})
	root.InitDefaultHelpCmd()
	visit(root, func(c *cobra.Command) {
		if c.Name() == "help" {
			return
		}
		if c.Short == "" || c.Long == "" || c.Example == "" {
			t.Errorf("%s: short %q, long %q, example %q: want all three", c.CommandPath(), c.Short, c.Long, c.Example)
		}
		for line := range strings.Lines(c.UsageString() + c.Long) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > helpWidth && !strings.HasPrefix(line, "  kubectl ") {
				t.Errorf("%s --help: %d characters: %s", c.CommandPath(), n, line)
			}
		}
		for line := range strings.Lines(c.Example) {
			for _, part := range strings.Split(line, "|") {
				_, command, ok := strings.Cut(" "+strings.TrimSpace(part), " drey ")
				if !ok {
					continue
				}
				command, _, _ = strings.Cut(strings.TrimSuffix(strings.TrimSpace(command), ")"), ">")
				found, args, err := New(rest.Build{}).Find(strings.Fields(strings.ReplaceAll(command, "'", "")))
				if err == nil {
					err = found.ParseFlags(args)
				}
				if err == nil {
					err = found.ValidateArgs(found.Flags().Args())
				}
				if err != nil || found.HasSubCommands() {
					t.Errorf("%s: the example %q is no command: %v", c.CommandPath(), line, err)
				}
			}
		}
	})
}

// TestHelpGroups: the help of drey lists each command below a title.
func TestHelpGroups(t *testing.T) {
	for _, c := range New(rest.Build{}).Commands() {
		if c.GroupID == "" {
			t.Errorf("%s is in no group", c.Name())
		}
	}
}

func visit(c *cobra.Command, f func(*cobra.Command)) {
	f(c)
	for _, child := range c.Commands() {
		visit(child, f)
	}
}
