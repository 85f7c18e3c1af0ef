package main

import (
	"cmp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"drey.dev/drey/cmd/drey/cli"
	"drey.dev/drey/registry/rest"
)

// commandsPage describes the commands and flags, in the order of drey --help.
func commandsPage() string {
	root := cli.New(rest.Build{Version: "dev"})
	var b strings.Builder
	b.WriteString("# Commands\n\n" + note + "`drey COMMAND --help` prints the same. [Use the command line](../how-to/cli.md) has tasks, and [configuration](configuration.md#fields)\nthe flags of `drey serve`.\n\n")
	var rows [][]string
	walk(root, func(c *cobra.Command) {
		if !c.HasAvailableSubCommands() {
			rows = append(rows, []string{"[" + c.CommandPath() + "](#" + strings.ReplaceAll(c.CommandPath(), " ", "-") + ")", c.Short})
		}
	})
	b.WriteString(table([]string{"command", "purpose"}, rows))
	walk(root, func(c *cobra.Command) {
		if c != root && (c.Runnable() || c.HasAvailableSubCommands()) {
			b.WriteString(command(c))
		}
	})
	return strings.TrimRight(b.String(), "\n") + "\n"
}

func walk(c *cobra.Command, visit func(*cobra.Command)) {
	visit(c)
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() && sub.Name() != "help" {
			walk(sub, visit)
		}
	}
}

func command(c *cobra.Command) string {
	var b strings.Builder
	b.WriteString("## " + c.CommandPath() + "\n\n")
	if c.HasAvailableSubCommands() { // its subcommands follow
		b.WriteString(cmp.Or(paragraphs(c.Long), c.Short+".\n") + "\n")
		return b.String()
	}
	b.WriteString(cmp.Or(paragraphs(c.Long), c.Short+".\n") + "\n```text\n" + c.UseLine() + "\n```\n\n")
	if c.Example != "" {
		b.WriteString("```text\n" + strings.TrimSpace(strings.ReplaceAll("\n"+c.Example, "\n  ", "\n")) + "\n```\n\n")
	}
	if c.Name() == "serve" {
		return b.String() + "Flags: [configuration](configuration.md#fields).\n\n"
	}
	var rows [][]string
	c.LocalFlags().VisitAll(func(f *pflag.Flag) { rows = appendFlag(rows, f) })
	c.InheritedFlags().VisitAll(func(f *pflag.Flag) { rows = appendFlag(rows, f) })
	if len(rows) > 0 {
		b.WriteString(table([]string{"flag", "default", "meaning"}, rows))
	}
	return b.String()
}

func appendFlag(rows [][]string, f *pflag.Flag) [][]string {
	if f.Hidden || f.Name == "help" {
		return rows
	}
	name := code("--" + f.Name)
	if f.Shorthand != "" {
		name += ", " + code("-"+f.Shorthand)
	}
	value := f.DefValue
	if slices.Contains([]string{"[]", "false", "0", "0s"}, value) {
		value = ""
	}
	return append(rows, []string{name, code(value), f.Usage})
}

// paragraphs returns help text as Markdown: indented lines are a block of text.
func paragraphs(text string) string {
	if text == "" {
		return ""
	}
	var b strings.Builder
	indented := false
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		if is := strings.HasPrefix(line, "  "); is != indented && line != "" {
			if is {
				b.WriteString("```text\n")
			} else {
				b.WriteString("```\n")
			}
			indented = is
		}
		b.WriteString(strings.NewReplacer("<", "&lt;", "*", `\*`).Replace(line) + "\n")
	}
	if indented {
		b.WriteString("```\n")
	}
	return b.String()
}
