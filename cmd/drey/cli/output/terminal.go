package output

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"drey.dev/drey/cmd/drey/cli/command"
	"drey.dev/drey/cmd/drey/cli/manifest"
)

// colorMode is the value of --color.
type colorMode string

const (
	colorAuto   colorMode = "auto"
	colorAlways colorMode = "always"
	colorNever  colorMode = "never"
)

// BindColor adds the flag --color to the root command.
func BindColor(root *cobra.Command) {
	command.Choice(root, root.PersistentFlags(), new(colorMode), "color", "", "color the output: auto (on a terminal, unless $NO_COLOR is set or $CLICOLOR is 0; with $CLICOLOR_FORCE everywhere), always or never", colorAuto, colorAlways, colorNever)
}

// Screen is an output of a command: a terminal, a file or a pipe.
type Screen struct {
	io.Writer
	Width int // in characters; 0: no terminal, lines are not wrapped
	Color bool
	Dumb  bool // a terminal without escape sequences
}

// Stdout returns the standard output of a command.
func Stdout(cmd *cobra.Command) *Screen { return screenOf(cmd, cmd.OutOrStdout()) }

// Stderr returns the standard error of a command.
func Stderr(cmd *cobra.Command) *Screen { return screenOf(cmd, cmd.ErrOrStderr()) }

func screenOf(cmd *cobra.Command, out io.Writer) *Screen {
	s := &Screen{Writer: out}
	if file, ok := out.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		if width, _, err := term.GetSize(int(file.Fd())); err == nil {
			s.Width = width
		}
		s.Dumb = os.Getenv("TERM") == "dumb"
		s.Color = !s.Dumb && os.Getenv("CLICOLOR") != "0"
	}
	if force := os.Getenv("CLICOLOR_FORCE"); force != "" && force != "0" {
		s.Color = true
	}
	s.Color = s.Color && os.Getenv("NO_COLOR") == ""
	if flag := cmd.Flag("color"); flag != nil && flag.Value.String() != string(colorAuto) {
		s.Color = flag.Value.String() == string(colorAlways)
	}
	return s
}

func widthOf(out io.Writer) int {
	if s, ok := out.(*Screen); ok {
		return s.Width
	}
	return 0
}

// Escape sequences of ECMA-48, which all terminals have.
const (
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	reset  = "\x1b[0m"
)

// colors are the colors of words that state a result.
var colors = map[string]string{
	"OK": green, "allowed": green, "RUNNING": green, "Running": green, "Ready": green,
	"WARN": yellow, "warn": yellow, "Unlabeled": yellow, "Mislabeled": yellow, "Pending": yellow,
	"FAIL": red, "DENIED": red, "denied": red, "FAILED": red, "Failed": red, "NoDeploymentTarget": red, "AmbiguousTarget": red, "LabelConflict": red, "LabelImmutable": red,
}

// paint colors a cell that is, or begins with, a word that states a result.
func paint(out io.Writer, text string) string {
	s, ok := out.(*Screen)
	if !ok || !s.Color {
		return text
	}
	word, _, _ := strings.Cut(text, ":")
	if color := cmp.Or(colors[text], colors[word]); color != "" {
		return color + text + reset
	}
	return text
}

// Message prints a message below an indent. On a terminal its prose is wrapped, and command,
// which is a part of it, has a line of its own that is not broken, so that it can be copied.
func Message(out io.Writer, indent, text, command string) error {
	width := widthOf(out) - textWidth(indent)
	if width < minColumn {
		_, err := fmt.Fprintf(out, "%s%s\n", indent, manifest.Printable(text))
		return err
	}
	before, after, found := strings.Cut(text, command)
	if command == "" {
		before, after, found = text, "", false
	}
	lines := wrap(strings.TrimSpace(manifest.Printable(before)), width)
	if found {
		lines = append(lines, "  "+command)
	}
	if after = strings.TrimLeft(manifest.Printable(after), " ;."); after != "" {
		lines = append(lines, wrap(after, width)...)
	}
	for _, line := range lines {
		if _, err := fmt.Fprintln(out, indent+line); err != nil {
			return err
		}
	}
	return nil
}
