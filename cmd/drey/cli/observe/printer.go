package observe

import (
	"fmt"
	"io"
	"strings"

	"drey.dev/drey/cmd/drey/cli/output"
)

// printer prints a list in each format, and then changes of its items.
type printer[T any] struct {
	listKind string                      // in JSON and YAML
	none     string                      // the table of an empty list
	name     func(T) (kind, name string) // for -o name

	header    []string
	cells     func(T) []string
	lastBelow bool // see output.Rows.LastBelow
}

// print prints items, and returns a function that prints one more.
func (p printer[T]) print(o *observeFlags, out io.Writer, items []T) (one func(T) error, err error) {
	switch o.format {
	case output.JSON, output.YAML:
		one := func(item T) error { return o.printItem(out, item) }
		if !o.watch {
			return one, o.printItems(out, p.listKind, append([]T{}, items...))
		}
		return one, each(items, one)
	case output.Name:
		one := func(item T) error {
			kind, name := p.name(item)
			_, err := fmt.Fprintf(out, "%s/%s\n", strings.ToLower(kind), name)
			return err
		}
		return one, each(items, one)
	}
	if len(items) == 0 && !o.watch {
		_, err := fmt.Fprintln(out, p.none)
		return nil, err
	}
	table := output.NewTable(out, p.header...)
	if p.lastBelow {
		table.LastBelow()
	}
	for _, item := range items {
		table.Row(p.cells(item)...)
	}
	return func(item T) error {
		table.Row(p.cells(item)...)
		return table.Flush()
	}, table.Flush()
}

func each[T any](items []T, f func(T) error) error {
	for _, item := range items {
		if err := f(item); err != nil {
			return err
		}
	}
	return nil
}
