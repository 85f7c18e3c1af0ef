package main

import (
	"fmt"
	"go/parser"
	"go/scanner"
	"go/token"
	"regexp"
	"slices"
	"strings"
)

// finding is a match of a rule.
type finding struct {
	path string
	line int
	rule string
	text string // the match
}

func (f finding) String() string {
	return fmt.Sprintf("%s:%d: %s: %q", f.path, f.line, f.rule, f.text)
}

// rule is a pattern that no text may match.
type rule struct {
	name    string
	pattern *regexp.Regexp
}

// spelling is checked in comments, strings and documents. "cancelled" is accepted: both
// spellings occur in Go APIs.
var spelling = rule{"US spelling", regexp.MustCompile(`(?i)\b\w*(?:` + strings.Join([]string{
	`labell(?:ed|ing)`, `modell(?:ed|ing)`, `signall(?:ed|ing)`, `travell(?:ed|ing)`,
	`behaviour`, `neighbour`, `flavour`, `honour`, `colour`, `favour`, `endeavour`,
	`(?:recogn|organ|author|initial|serial|normal|summar|synchron|minim|maxim|custom|categor|emphas|prior|standard|util|visual)is(?:e|ed|es|er|ers|ing|ation|ations)\b`,
	`optimis(?:e|ed|es|ing|ation)\b`, `analys(?:e|ed|es|ing)\b`, `artefact`, `catalogue`, `centre\b`, `defence`, `licence`, `fulfil\b`, `whilst`,
}, "|") + `)\w*`)}

// nounClauses are checked in comments and documents.
var nounClauses = []rule{
	{"noun clause with who", regexp.MustCompile(`\b[Ww]hoever\b`)},
	{"noun clause with who", regexp.MustCompile(`(?:^|[.:;] )Who (?:may|can|cannot|asks?|writes?|reads?|wants?|has|have|is|are|calls?|registers?|deletes?|runs?|gets?|makes|owns?|stops?|sends?|knows?|does|did|lists?|watches)\b[^?]*$`)},
	{"noun clause with who", regexp.MustCompile(`[.:;] who (?:may|can|cannot|asks|writes|reads|wants|has|is|calls|registers|deletes|runs|gets|makes|owns|stops|sends|knows|does|lists|watches)\b`)},
	{"noun clause with who", regexp.MustCompile(`\b(?:tells?|says?|said|knows?|asks?) who\b`)},
	{"permission without its verb", regexp.MustCompile(`\bwho may\b`)},
	{"archaism", regexp.MustCompile(`\b(?:for ever|anew)\b`)},
}

// markdownClauses are checked in documents alone.
var markdownClauses = []rule{
	{"noun clause with what", regexp.MustCompile(`\b[Ww]hat (?:is|was|runs|the|they|it|drey|admission|only)\b[^?]*$`)},
}

// checkGo checks the comments and the string literals of a Go file.
func checkGo(path string, text []byte) ([]finding, error) {
	if _, err := parser.ParseFile(token.NewFileSet(), path, text, parser.SkipObjectResolution); err != nil {
		return nil, err
	}
	file := token.NewFileSet().AddFile(path, -1, len(text))
	var s scanner.Scanner
	s.Init(file, text, nil, scanner.ScanComments)
	var found []finding
	group := comment{} // adjacent line comments: a sentence may span lines
	flush := func() {
		found = append(found, group.check(path)...)
		group = comment{}
	}
	for {
		pos, kind, literal := s.Scan()
		line := file.Line(pos)
		switch kind {
		case token.EOF:
			flush()
			return found, nil
		case token.COMMENT:
			if !strings.HasPrefix(literal, "//") || len(group.lines) > 0 && line != group.first+len(group.lines) {
				flush()
			}
			if len(group.lines) == 0 {
				group.first = line
			}
			for part := range strings.SplitSeq(literal, "\n") {
				group.lines = append(group.lines, strings.TrimSpace(strings.TrimSuffix(strings.TrimLeft(part, "/* \t"), "*/")))
			}
		case token.STRING:
			found = append(found, spelling.find(path, line, literal)...)
		}
	}
}

// comment is a comment group.
type comment struct {
	first int // its line
	lines []string
}

// check applies all rules to the text of the group.
func (c comment) check(path string) []finding {
	var found []finding
	text := strings.Join(c.lines, " ")
	lineOf := func(at int) int {
		offset := 0
		for i, line := range c.lines {
			if offset += len(line) + 1; at < offset {
				return c.first + i
			}
		}
		return c.first + len(c.lines) - 1
	}
	for _, r := range append([]rule{spelling}, nounClauses...) {
		for _, match := range r.pattern.FindAllStringIndex(text, -1) {
			found = append(found, finding{path, lineOf(match[0]), r.name, excerpt(text[match[0]:match[1]])})
		}
	}
	return found
}

// codeSpan is inline code of Markdown, which quotes identifiers.
var codeSpan = regexp.MustCompile("`[^`]*`")

// checkMarkdown checks the lines of a document, except inline code.
func checkMarkdown(path string, text []byte) []finding {
	var found []finding
	for i, line := range strings.Split(string(text), "\n") {
		line = codeSpan.ReplaceAllString(line, "``")
		for _, r := range slices.Concat([]rule{spelling}, nounClauses, markdownClauses) {
			found = append(found, r.find(path, i+1, line)...)
		}
	}
	return found
}

func (r rule) find(path string, line int, text string) []finding {
	var found []finding
	for _, match := range r.pattern.FindAllString(text, -1) {
		found = append(found, finding{path, line, r.name, excerpt(match)})
	}
	return found
}

// excerpt shortens a match.
func excerpt(match string) string {
	const limit = 40
	match = strings.TrimSpace(strings.TrimLeft(match, ".:; "))
	if len(match) > limit {
		return match[:limit]
	}
	return match
}
