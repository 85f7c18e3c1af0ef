package output

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/width"

	"drey.dev/drey/cmd/drey/cli/manifest"
)

// Rows prints rows in columns. On a terminal, long cells are wrapped so that the table fits
// its width. A table that fits only with broken words is printed as a list of fields per row.
type Rows struct {
	out      io.Writer
	indent   string
	header   bool
	gap      int
	width    int // of the terminal; 0: unlimited
	rows     [][]string
	widths   []int // after Flush
	flushed  bool
	below    bool // the last cell is printed below its row, unbroken
	vertical bool // a field per line
	err      error
}

// NewTable returns a table with a header. An empty cell is printed as -.
func NewTable(out io.Writer, header ...string) *Rows {
	return &Rows{out: out, header: true, gap: 3, width: widthOf(out), rows: [][]string{header}}
}

// NewList returns a table without a header: names and their values.
func NewList(out io.Writer, indent string) *Rows {
	return &Rows{out: out, indent: indent, gap: 2, width: widthOf(out)}
}

// LastBelow prints the last cell of a row below it on a terminal, unbroken, so that a command in it
// can be copied. Elsewhere it is a column.
func (t *Rows) LastBelow() { t.below = t.width > 0 }

// Row adds a row. After Flush it is printed at once, in the columns of the rows before.
func (t *Rows) Row(cells ...string) {
	row := make([]string, len(cells))
	for i, cell := range cells {
		if row[i] = manifest.Printable(cell); row[i] == "" && t.header {
			row[i] = "-"
		}
	}
	if t.flushed {
		t.print(row)
		return
	}
	t.rows = append(t.rows, row)
}

// Flush prints the rows, and returns the first error.
func (t *Rows) Flush() error {
	if t.flushed {
		return t.err
	}
	t.flushed = true
	t.layout()
	for i, row := range t.rows {
		if t.below && t.header && i == 0 {
			row = append(slices.Clone(row[:len(row)-1]), "-") // the last column has no header
		}
		if !t.vertical || i > 0 {
			t.print(row)
		}
	}
	return t.err
}

// layout sets the widths of the columns.
func (t *Rows) layout() {
	var words []int // the longest part of a cell that wrap does not break
	for _, row := range t.rows {
		if t.below {
			row = row[:len(row)-1]
		}
		for i, cell := range row {
			if i == len(t.widths) {
				t.widths, words = append(t.widths, 0), append(words, 0)
			}
			t.widths[i], words[i] = max(t.widths[i], textWidth(cell)), max(words[i], wordWidth(cell))
		}
	}
	total := func() int { return t.width - len(t.indent) - t.gap*(len(t.widths)-1) }
	if t.width == 0 || sum(t.widths) <= total() {
		return
	}
	t.gap = narrowGap
	fit(t.widths, words, total())
	switch {
	case sum(t.widths) <= total():
	case t.header:
		t.vertical = true
	default:
		fit(t.widths, slices.Repeat([]int{minColumn}, len(t.widths)), total())
	}
}

const (
	narrowGap = 2  // between the columns of a table that is wrapped
	minColumn = 10 // the width below which no column of a list is narrowed
)

func sum(all []int) (n int) {
	for _, w := range all {
		n += w
	}
	return n
}

// fit narrows the widest columns until all fit into total, none below its minimum.
func fit(widths, least []int, total int) {
	for sum(widths) > total {
		widest := -1
		for i, w := range widths {
			if w > least[i] && (widest < 0 || w > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return
		}
		widths[widest]--
	}
}

func (t *Rows) print(row []string) {
	detail := "-"
	if t.below {
		detail, row = row[len(row)-1], row[:len(row)-1]
	}
	if t.vertical {
		t.printFields(row)
	} else {
		t.printColumns(row)
	}
	if detail != "-" {
		t.printLine("  " + detail)
	}
	if t.vertical {
		t.printLine("")
	}
}

// printFields prints a row as lines of a header and a value, except empty values.
func (t *Rows) printFields(row []string) {
	names := 0
	for _, name := range t.rows[0] {
		names = max(names, textWidth(name))
	}
	for i, cell := range row {
		if cell == "-" || i >= len(t.rows[0]) {
			continue
		}
		name := t.rows[0][i]
		for _, line := range wrap(cell, t.width-len(t.indent)-names-narrowGap) {
			t.printLine(t.indent + name + strings.Repeat(" ", names-textWidth(name)+narrowGap) + paint(t.out, line))
			name = ""
		}
	}
}

func (t *Rows) printColumns(row []string) {
	lines := make([][]string, len(row))
	height := 1
	for i, cell := range row {
		lines[i] = []string{cell}
		if t.width > 0 && i < len(t.widths) {
			lines[i] = wrap(cell, t.widths[i])
		}
		height = max(height, len(lines[i]))
	}
	for line := range height {
		var b strings.Builder
		b.WriteString(t.indent)
		for i := range row {
			text := ""
			if line < len(lines[i]) {
				text = lines[i][line]
			}
			b.WriteString(paint(t.out, text))
			if i < len(row)-1 && i < len(t.widths) {
				b.WriteString(strings.Repeat(" ", max(t.widths[i]-textWidth(text), 0)+t.gap))
			}
		}
		t.printLine(strings.TrimRight(b.String(), " "))
	}
}

func (t *Rows) printLine(line string) {
	if _, err := fmt.Fprintln(t.out, line); err != nil && t.err == nil {
		t.err = err
	}
}

// separators of the parts of a name, after which a line may end.
const separators = "/-.,:="

// wrap breaks text into lines of at most limit columns: at spaces, else after a separator of
// names, else anywhere.
func wrap(text string, limit int) []string {
	var lines []string
	for rest := []rune(text); ; {
		end := prefix(rest, limit)
		if end == len(rest) || limit < 1 {
			return append(lines, string(rest))
		}
		at := end
		hasSpace := slices.Contains(rest[:end+1], ' ')
		for i := end; i > 0; i-- {
			if rest[i] == ' ' || !hasSpace && i < end && strings.ContainsRune(separators, rest[i-1]) {
				at = i
				break
			}
		}
		lines = append(lines, strings.TrimRight(string(rest[:at]), " "))
		rest = []rune(strings.TrimLeft(string(rest[at:]), " "))
	}
}

// prefix returns how many runes fit into limit columns, at least one.
func prefix(text []rune, limit int) int {
	columns := 0
	for i, r := range text {
		if columns += runeWidth(r); columns > limit && i > 0 {
			return i
		}
	}
	return len(text)
}

// wordWidth returns the width of the longest part of a text that wrap does not break.
func wordWidth(text string) (longest int) {
	start := 0
	for i, r := range text {
		if r == ' ' || strings.ContainsRune(separators, r) {
			longest, start = max(longest, textWidth(strings.TrimSpace(text[start:i+1]))), i+1
		}
	}
	return max(longest, textWidth(text[start:]))
}

// textWidth returns the columns of a terminal that a text takes.
func textWidth(text string) (columns int) {
	for _, r := range text {
		columns += runeWidth(r)
	}
	return columns
}

// runeWidth returns 2 for wide characters, such as Chinese ones, and 0 for combining ones.
func runeWidth(r rune) int {
	if unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}
