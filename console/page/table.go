package page

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Table is a page of a sorted and filtered list. Its links keep the filter and the order.
type Table struct {
	Path       string
	Noun, Hint string     // of a page that lists things: what it lists, and what its search matches
	Query      url.Values // of the request
	Sort       string     // the column to sort by
	Descending bool

	Page, Pages int // from 1
	First, Last int // positions of the rows, from 1; 0 without rows
	Total       int // rows that the filter selects
}

// The query parameters of a table.
const (
	ParamSort  = "sort"  // a column; with a - before it descending
	ParamPage  = "page"  // from 1
	ParamText  = "q"     // part of a name
	ParamSpace = "ns"    // Kubernetes namespace
	ParamOwner = "scope" // platform namespace
	ParamState = "show"  // a subset that the page defines
)

// NewTable returns the table that a query selects. Unknown columns select the first one.
func NewTable(path string, query url.Values, columns ...string) Table {
	t := Table{Path: path, Query: query, Page: 1}
	t.Sort, t.Descending = strings.CutPrefix(query.Get(ParamSort), "-")
	if !slices.Contains(columns, t.Sort) {
		t.Sort, t.Descending = strings.CutPrefix(columns[0], "-")
	}
	if n, err := strconv.Atoi(query.Get(ParamPage)); err == nil && n > 0 {
		t.Page = n
	}
	return t
}

// Cut returns the rows of the page of t, and completes t. A page beyond the last is the last.
func Cut[T any](t *Table, rows []T, size int) []T {
	t.Total = len(rows)
	t.Pages = max(1, (len(rows)+size-1)/size)
	t.Page = min(t.Page, t.Pages)
	from := (t.Page - 1) * size
	to := min(from+size, len(rows))
	if from < to {
		t.First, t.Last = from+1, to
	}
	return rows[from:to]
}

// with returns the URL of the table with another parameter; empty: without it.
func (t Table) with(parameter, value string) string {
	query := maps.Clone(t.Query)
	if query == nil {
		query = url.Values{}
	}
	if parameter != ParamPage {
		query.Del(ParamPage)
	}
	if query.Set(parameter, value); value == "" {
		query.Del(parameter)
	}
	if len(query) == 0 {
		return t.Path
	}
	return t.Path + "?" + query.Encode()
}

// Column is the heading of a sortable column.
type Column struct {
	Name, URL string
	Order     string // ascending, descending or empty: aria-sort
	Class     string
}

// Column returns the heading of a column, whose link sorts by it, or reverses the order.
func (t Table) Column(column, name, class string) Column {
	c := Column{Name: name, URL: t.with(ParamSort, column), Class: class}
	if column == t.Sort {
		c.Order = "ascending"
		if t.Descending {
			c.Order = "descending"
		} else {
			c.URL = t.with(ParamSort, "-"+column)
		}
	}
	return c
}

// Previous returns the URL of the page before; empty: there is none.
func (t Table) Previous() string {
	if t.Page <= 1 {
		return ""
	}
	return t.with(ParamPage, strconv.Itoa(t.Page-1))
}

// Next returns the URL of the page after; empty: there is none.
func (t Table) Next() string {
	if t.Page >= t.Pages {
		return ""
	}
	return t.with(ParamPage, strconv.Itoa(t.Page+1))
}

// Filtered reports whether the query has a filter: a parameter that is neither the order nor the
// page.
func (t Table) Filtered() bool {
	for parameter := range t.Query {
		if parameter != ParamSort && parameter != ParamPage && t.Query.Get(parameter) != "" {
			return true
		}
	}
	return false
}

// Listing returns t for a page that lists things with a name, and whose search matches hint.
func (t Table) Listing(noun, hint string) Table {
	t.Noun, t.Hint = noun, hint
	return t
}

// Value returns a parameter of the query.
func (t Table) Value(parameter string) string { return t.Query.Get(parameter) }
