// Package page reads the commands of a Markdown page, and compares their output with the one
// that the page states.
//
// Fenced blocks of the languages console and sh are commands. In a console block a command
// follows "$ ", and the lines below it are its output. In an sh block every line is a command.
// A command continues after a backslash, within single quotes, and to the end of a heredoc.
// HTML comments are directives:
//
//	<!-- world: cluster drey -->       what the page requires; the words are the caller's
//	<!-- setup                         commands that the page does not show, to "-->"
//	<!-- file: target.yaml -->         the next block is the content of a file
//	<!-- checked by: TestName -->      the next block is one that CheckedBy returns for the tests
//	<!-- not run: REASON -->           the next block is not executed
package page

import (
	"fmt"
	"regexp"
	"strings"
)

// Page is a parsed page.
type Page struct {
	World  []string
	Blocks []Block
}

// Block is a fenced block of a page, or the commands of a setup.
type Block struct {
	Line      int // of its first line in the page
	Language  string
	File      string
	CheckedBy []string // names of tests
	Text      string   // of blocks without commands
	Commands  []Command
	NotRun    string // reason; Commands are not executed
}

// Command is a command with its expected output.
type Command struct {
	Line   int
	Text   string
	Output []string
	Check  bool // compare Output; false in an sh block and in a setup
}

var (
	directive = regexp.MustCompile(`^ *<!-- (world|file|checked by|not run): (.*?) -->$`)
	fence     = regexp.MustCompile("^( *)```([a-z]*)$")
	heredoc   = regexp.MustCompile(`<<-?'?([A-Z]+)'?`)
)

// Parse parses a page. It returns an error for a directive that no block follows, a block that
// does not end, and a block without a language.
func Parse(text string) (Page, error) {
	var p Page
	lines := strings.Split(text, "\n")
	pending := Block{}
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		if d := directive.FindStringSubmatch(line); d != nil {
			switch d[1] {
			case "world":
				p.World = strings.Fields(d[2])
			case "file":
				pending.File = d[2]
			case "checked by":
				pending.CheckedBy = strings.Fields(d[2])
			case "not run":
				pending.NotRun = d[2]
			}
			continue
		}
		if line == "<!-- setup" {
			end := indexFrom(lines, i, "-->")
			if end < 0 {
				return p, fmt.Errorf("line %d: setup does not end: add -->", i+1)
			}
			p.Blocks = append(p.Blocks, Block{Line: i + 1, Commands: script(lines[i+1:end], i+2)})
			i = end
			continue
		}
		f := fence.FindStringSubmatch(line)
		if f == nil {
			if strings.TrimSpace(line) != "" && (pending.File != "" || pending.CheckedBy != nil || pending.NotRun != "") {
				return p, fmt.Errorf("line %d: no block follows the directive", i+1)
			}
			continue
		}
		end := indexFrom(lines, i+1, f[1]+"```")
		if end < 0 {
			return p, fmt.Errorf("line %d: block does not end: add ```", i+1)
		}
		body := make([]string, 0, end-i-1)
		for _, l := range lines[i+1 : end] {
			body = append(body, strings.TrimPrefix(l, f[1]))
		}
		b := pending
		b.Line, b.Language, pending = i+1, f[2], Block{}
		switch f[2] {
		case "":
			return p, fmt.Errorf("line %d: block without a language: use sh, console, yaml or text", i+1)
		case "console":
			b.Commands = transcript(body, i+2)
		case "sh":
			b.Commands = script(body, i+2)
		}
		if b.File != "" || len(b.Commands) == 0 {
			b.Text, b.Commands = strings.Join(body, "\n")+"\n", nil
		}
		p.Blocks = append(p.Blocks, b)
		i = end
	}
	return p, nil
}

func indexFrom(lines []string, from int, line string) int {
	for i := from; i < len(lines); i++ {
		if lines[i] == line {
			return i
		}
	}
	return -1
}

// script returns the commands of an sh block.
func script(lines []string, first int) []Command {
	var all []Command
	for i := 0; i < len(lines); {
		if line := strings.TrimSpace(lines[i]); line == "" || strings.HasPrefix(line, "#") {
			i++
			continue
		}
		n := length(lines[i:])
		all = append(all, Command{Line: first + i, Text: strings.Join(lines[i:i+n], "\n")})
		i += n
	}
	return all
}

// transcript returns the commands of a console block with their output.
func transcript(lines []string, first int) []Command {
	var all []Command
	for i := 0; i < len(lines); {
		text, ok := strings.CutPrefix(lines[i], "$ ")
		if !ok {
			if len(all) > 0 {
				last := &all[len(all)-1]
				last.Output = append(last.Output, lines[i])
			}
			i++
			continue
		}
		n := length(append([]string{text}, lines[i+1:]...))
		all = append(all, Command{Line: first + i, Text: strings.Join(append([]string{text}, lines[i+1:i+n]...), "\n"), Check: true})
		i += n
	}
	return all
}

// length returns the number of lines of the first command.
func length(lines []string) int {
	for n := 1; n < len(lines); n++ {
		text := strings.Join(lines[:n], "\n")
		if end := heredoc.FindStringSubmatch(text); end != nil {
			if lines[n-1] == end[1] {
				return n
			}
			continue
		}
		if !strings.HasSuffix(text, `\`) && strings.Count(text, "'")%2 == 0 {
			return n
		}
	}
	return len(lines)
}
