package page

import (
	"regexp"
	"strings"
)

// variable are the parts of an output that differ between runs, with their replacement.
var variable = []struct {
	pattern     *regexp.Regexp
	replacement string
}{
	{regexp.MustCompile(`\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`), "UUID"},
	{regexp.MustCompile(`-[0-9a-z]{8,10}-[0-9a-z]{5}\b`), "-POD"},
	{regexp.MustCompile(`\b(?:\d+(?:ms|s|m|h|d|y))+\b`), "DURATION"},
	{regexp.MustCompile(`\b(?:127\.0\.0\.1|localhost):\d+\b`), "ADDRESS"},
	{regexp.MustCompile(`\b\d{8}T\d{6}\.\d{3}Z`), "TIME"},
	{regexp.MustCompile(`[ \t]+`), " "},
}

// normalize replaces what differs between runs: UIDs, generated names, durations, ports, and
// the width of columns.
func normalize(line string) string {
	for _, v := range variable {
		line = v.pattern.ReplaceAllString(line, v.replacement)
	}
	return strings.TrimRight(line, " ")
}

// Match reports whether an output is the expected one. In an expected line, "..." is any text;
// a line "..." is any number of lines.
func Match(want []string, got string) bool {
	var pattern strings.Builder
	pattern.WriteString(`\A`)
	for _, line := range trim(want) {
		if strings.TrimSpace(line) == "..." {
			pattern.WriteString(`(?:[^\n]*\n)*`)
			continue
		}
		for i, part := range strings.Split(line, "...") {
			if i > 0 {
				pattern.WriteString(`[^\n]*`)
			}
			part = normalize(" " + part + " ") // keeps the spaces at the ends comparable
			pattern.WriteString(regexp.QuoteMeta(strings.TrimSpace(part)))
		}
		pattern.WriteString(` *\n`)
	}
	pattern.WriteString(`\z`)
	var text strings.Builder
	for _, line := range trim(strings.Split(got, "\n")) {
		text.WriteString(strings.TrimSpace(normalize(line)) + "\n")
	}
	return regexp.MustCompile(pattern.String()).MatchString(text.String())
}

// trim removes empty lines at the ends.
func trim(lines []string) []string {
	for len(lines) > 0 && strings.TrimSpace(lines[0]) == "" {
		lines = lines[1:]
	}
	for len(lines) > 0 && strings.TrimSpace(lines[len(lines)-1]) == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}
