package output

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"drey.dev/drey/cmd/drey/cli/manifest"
)

// Rows prints rows in columns. On a terminal, long cells are wrapped so that the table fits
// its width.
type Rows struct {
	out     io.Writer
	indent  string
	header  bool
	gap     int
	width   int // of the terminal; 0: unlimited
	rows    [][]string
	widths  []int // after Flush
	flushed bool
	below   bool // the last cell is printed below its row, unbroken
	err     error
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
	for _, row := range t.rows {
		if t.below {
			row = row[:len(row)-1]
		}
		for i, cell := range row {
			if i == len(t.widths) {
				t.widths = append(t.widths, 0)
			}
			t.widths[i] = max(t.widths[i], utf8.RuneCountInString(cell))
		}
	}
	fit(t.widths, t.width-len(t.indent)-t.gap*(len(t.widths)-1), t.width > 0)
	for i, row := range t.rows {
		if t.below && t.header && i == 0 {
			row = append(slices.Clone(row[:len(row)-1]), "-") // the last column has no header
		}
		t.print(row)
	}
	return t.err
}

// minColumn is the width below which no column is narrowed.
const minColumn = 10

// fit narrows the widest columns until all fit into total.
func fit(widths []int, total int, limited bool) {
	sum := 0
	for _, w := range widths {
		sum += w
	}
	for limited && sum > total {
		widest := slices.Index(widths, slices.Max(widths))
		if widths[widest] <= minColumn {
			return
		}
		widths[widest]--
		sum--
	}
}

func (t *Rows) print(row []string) {
	detail := "-"
	if t.below {
		detail, row = row[len(row)-1], row[:len(row)-1]
		defer func() {
			if detail != "-" {
				t.printLine("  " + detail)
			}
		}()
	}
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
				b.WriteString(strings.Repeat(" ", max(t.widths[i]-utf8.RuneCountInString(text), 0)+t.gap))
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

// wrap breaks text into lines of at most width characters: at spaces, else after a separator
// of names, else anywhere.
func wrap(text string, width int) []string {
	var lines []string
	for rest := []rune(text); ; {
		if len(rest) <= width || width < 1 {
			return append(lines, string(rest))
		}
		at := width
		for i := width; i > width/2; i-- {
			if rest[i] == ' ' || i < width && strings.ContainsRune("/-.,:=", rest[i-1]) && !slices.Contains(rest[:width+1], ' ') {
				at = i
				break
			}
		}
		lines = append(lines, strings.TrimRight(string(rest[:at]), " "))
		rest = []rune(strings.TrimLeft(string(rest[at:]), " "))
	}
}
