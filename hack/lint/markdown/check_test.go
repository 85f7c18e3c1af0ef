package main

import (
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	const valid = "# A\n\ntext\nmore\n\n| a | b |\n|---|---|\n| `x\\|y` | 2 |\n\n- one\n  continued\n- two\n\n  '''sh\n  | a\n  '''\n\n1. first\n\n   <!-- why -->\n   '''\n   '''\n\n## B\n\n<!-- note -->\n| a |\n|---|\n"
	for document, want := range map[string]string{
		valid:                            "",
		"# A\ntext":                      "a.md:2: no blank line below the heading",
		"# A\n\ntext\n## B":              "a.md:4: no blank line above the heading",
		"# A\n\ntext\n| a |\n|---|":      "a.md:4: no blank line above the table",
		"# A\n\n| a |\n|---|\ntext":      "a.md:5: no blank line below the table: the line is a row of it",
		"# A\n\n| a |\n|---|\n| 1 | 2 |": "a.md:5: row with 2 cells in a table of 1",
		"# A\n\n| a |":                   "a.md:3: a table without a line of dashes below its header",
		"# A\n\ntext\n- one":             "a.md:4: no blank line above the list: the line is part of the paragraph",
		"# A\n\n- one\ntext":             "a.md:4: no blank line below the list: the line is part of its last item",
		"# A\n\ntext\n'''\nx\n'''":       "a.md:4: no blank line between a paragraph and a fenced block",
		"# A\n\n'''\nx":                  "a.md:4: the fenced block does not end",
		"# A\n\n### B":                   "a.md:3: heading of level 3 below one of level 1",
		"# A\n\n# B":                     "a.md:3: second heading of level 1",
		"# A\n\n## B\n\n## b":            `a.md:5: two headings "b": links reach the first alone`,
		"# A\n\ntext ":                   "a.md:3: tab, or space at the end of the line",
		"# A\n\n| a |\n|---|\n| 1 |\ntext\n| b |\n|---|": "a.md:6: no blank line below the table: the line is a row of it\na.md:7: no blank line above the table",
	} {
		if got := strings.Join(check("a.md", strings.ReplaceAll(document, "'''", "```")), "\n"); got != want {
			t.Errorf("%q:\ngot  %s\nwant %s", document, got, want)
		}
	}
}
