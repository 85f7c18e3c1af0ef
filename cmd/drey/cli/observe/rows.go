package observe

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"drey.dev/drey/cmd/drey/cli/manifest"
)

// rows prints rows of a table with the widths of the first ones, so that rows that come later
// are aligned.
type rows struct {
	out    io.Writer
	widths []int
}

func newRows(out io.Writer, header []string, first [][]string) (*rows, error) {
	r := &rows{out: out, widths: make([]int, len(header))}
	for _, cells := range append([][]string{header}, first...) {
		for i, cell := range cells {
			r.widths[i] = max(r.widths[i], utf8.RuneCountInString(manifest.Printable(cell)))
		}
	}
	for _, cells := range append([][]string{header}, first...) {
		if err := r.print(cells); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (r *rows) print(cells []string) error {
	var b strings.Builder
	for i, cell := range cells {
		text := cmp.Or(manifest.Printable(cell), "-")
		b.WriteString(text)
		if i < len(cells)-1 {
			b.WriteString(strings.Repeat(" ", max(r.widths[i]-utf8.RuneCountInString(text), 0)+3))
		}
	}
	_, err := fmt.Fprintln(r.out, b.String())
	return err
}
