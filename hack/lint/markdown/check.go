package main

import (
	"fmt"
	"regexp"
	"strings"
)

// kind is the kind of a line.
type kind int

const (
	blank kind = iota
	text
	heading
	row  // of a table
	item // of a list, and its indented continuation
	fence
	inFence
	comment
)

var (
	headings   = regexp.MustCompile(`^(#{1,6}) +\S`)
	items      = regexp.MustCompile(`^ *(?:[-*+]|\d+[.)]) +\S`)
	fences     = regexp.MustCompile("^ *(```+|~~~+)(.*)$")
	delimiters = regexp.MustCompile(`^ *\|(?: *:?-+:? *\|)+ *$`)
)

// check returns the findings in a document, one a line of text. Rules: blank lines around
// headings, tables, lists and fenced blocks, which otherwise merge with the paragraph above or
// below; rows with as many cells as the header; one heading of level 1, the first, and no
// skipped level; no two headings with the same anchor; fenced blocks that end; no tabs and no
// spaces at the end of a line.
func check(path, document string) []string {
	lines := strings.Split(strings.TrimSuffix(document, "\n"), "\n")
	kinds := classify(lines)
	c := checker{path: path, lines: lines, anchors: map[string]bool{}}
	for i, line := range lines {
		c.line(i, line, kinds)
	}
	if kinds[len(kinds)-1] == inFence {
		c.report(len(lines), "the fenced block does not end")
	}
	return c.findings
}

func classify(lines []string) []kind {
	kinds := make([]kind, len(lines))
	end := "" // of the open fence
	list := false
	for i, line := range lines {
		f := fences.FindStringSubmatch(line)
		switch trimmed := strings.TrimSpace(line); {
		case end != "" && trimmed == end:
			kinds[i], end = fence, ""
		case end != "":
			kinds[i] = inFence
		case f != nil:
			kinds[i], end = fence, f[1]
		case trimmed == "":
			kinds[i] = blank
			continue // a list continues after it
		case headings.MatchString(line):
			kinds[i] = heading
		case strings.HasPrefix(trimmed, "<!--") || i > 0 && kinds[i-1] == comment && !strings.Contains(lines[i-1], "-->"):
			kinds[i] = comment
		case strings.HasPrefix(trimmed, "|"):
			kinds[i] = row
		case items.MatchString(line) || list && strings.HasPrefix(line, "  "):
			kinds[i] = item
		default:
			kinds[i] = text
		}
		list = kinds[i] == item || list && (strings.HasPrefix(line, "  ") || kinds[i] == inFence || kinds[i] == comment)
	}
	return kinds
}

type checker struct {
	path     string
	lines    []string
	findings []string
	anchors  map[string]bool
	level    int // of the last heading
	cells    int // of the table's header
}

func (c *checker) report(line int, format string, args ...any) {
	c.findings = append(c.findings, fmt.Sprintf("%s:%d: %s", c.path, line, fmt.Sprintf(format, args...)))
}

func (c *checker) line(i int, line string, kinds []kind) {
	before := blank
	if i > 0 {
		before = kinds[i-1]
	}
	now := kinds[i]
	if now != inFence && (strings.HasSuffix(line, " ") || strings.Contains(line, "\t")) {
		c.report(i+1, "tab, or space at the end of the line")
	}
	switch {
	case now == heading:
		c.heading(i+1, line)
		if before != blank {
			c.report(i+1, "no blank line above the heading")
		}
	case before == heading && now != blank:
		c.report(i+1, "no blank line below the heading")
	case now == row && before != row && before != blank && before != comment:
		c.report(i+1, "no blank line above the table")
	case before == row && now != row && now != blank:
		c.report(i+1, "no blank line below the table: the line is a row of it")
	case now == item && before == text:
		c.report(i+1, "no blank line above the list: the line is part of the paragraph")
	case before == item && now == text:
		c.report(i+1, "no blank line below the list: the line is part of its last item")
	case now == fence && before == text || before == fence && now == text:
		c.report(i+1, "no blank line between a paragraph and a fenced block")
	}
	if now == row {
		c.row(i, line, before != row)
	}
}

func (c *checker) heading(number int, line string) {
	marks := headings.FindStringSubmatch(line)[1]
	switch level := len(marks); {
	case level == 1 && c.level > 0:
		c.report(number, "second heading of level 1")
	case level > c.level+1:
		c.report(number, "heading of level %d below one of level %d", level, c.level)
	default:
		c.level = level
	}
	anchor := strings.ToLower(strings.TrimSpace(strings.TrimLeft(line, "#")))
	if c.anchors[anchor] && !strings.HasSuffix(c.path, "CHANGELOG.md") {
		c.report(number, "two headings %q: links reach the first alone", anchor)
	}
	c.anchors[anchor] = true
}

func (c *checker) row(i int, line string, first bool) {
	cells := cellCount(line)
	if first {
		c.cells = cells
		if i+1 == len(c.lines) || !delimiters.MatchString(c.lines[i+1]) {
			c.report(i+1, "a table without a line of dashes below its header")
		}
		return
	}
	if cells != c.cells {
		c.report(i+1, "row with %d cells in a table of %d", cells, c.cells)
	}
}

// cellCount counts the cells of a row, without escaped bars.
func cellCount(line string) int {
	line = strings.ReplaceAll(strings.TrimSpace(line), `\|`, "")
	return strings.Count(strings.TrimSuffix(line, "|"), "|")
}
