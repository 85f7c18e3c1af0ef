package inventory

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Filter selects workloads. Empty fields select all.
type Filter struct {
	PlatformNamespace string
	Namespace         string
	Target            string
	Kind, Name        string // of the Deployment or SessionCluster
	Text              string // part of a name, id, state or flavor, without case
	Unhealthy         bool   // only those that are not [Workload.Healthy]

	// Visible reports whether the reader may see a platform namespace, and with "" what has
	// none. It is called once per platform namespace. Nil: all.
	Visible func(platformNamespace string) (bool, error)
}

// Query is a filter, an order and a page.
type Query struct {
	Filter

	Sort       string // one of [Sorts]; empty: by namespace and owner
	Descending bool
	Limit      int    // 0: no limit
	Continue   string // of the previous page
}

// Page is a part of a list.
type Page struct {
	Items    []Workload `json:"items"` // never nil
	Total    int        `json:"total"` // selected by the filter
	Continue string     `json:"continue,omitempty"`
}

// ErrInvalidQuery means that a query has an unknown sort order or continue token.
var ErrInvalidQuery = errors.New("invalid query")

// column is a value to sort by: text, or a number.
type column struct {
	text   func(*Workload) string
	number func(*Workload) int64
}

// compare orders two workloads by a column, and by their keys if it is equal.
func (c column) compare(a, b *entry) int {
	order := 0
	switch {
	case c.text != nil:
		order = cmp.Compare(c.text(&a.Workload), c.text(&b.Workload))
	case c.number != nil:
		order = cmp.Compare(c.number(&a.Workload), c.number(&b.Workload))
	}
	if order != 0 {
		return order
	}
	return cmp.Compare(a.key, b.key)
}

// position is where a workload stands in the order, as the token of a page: the value and the key.
func (c column) position(e *entry) string {
	value := ""
	switch {
	case c.text != nil:
		value = c.text(&e.Workload)
	case c.number != nil:
		value = strconv.FormatInt(c.number(&e.Workload), 10)
	}
	return value + "\x00" + e.key
}

// comparePosition orders a workload and a position. One that is no position of this order has any
// place.
func (c column) comparePosition(e *entry, position string) int {
	value, key, _ := strings.Cut(position, "\x00")
	order := 0
	switch {
	case c.text != nil:
		order = cmp.Compare(c.text(&e.Workload), value)
	case c.number != nil:
		number, _ := strconv.ParseInt(value, 10, 64)
		order = cmp.Compare(c.number(&e.Workload), number)
	}
	return cmp.Or(order, cmp.Compare(e.key, key))
}

// sorts are the values to sort by. Equal values are ordered by key.
var sorts = map[string]column{
	"":                  {},
	"name":              {text: func(w *Workload) string { return cmp.Or(w.Name, w.Owner.Name) }},
	"namespace":         {text: func(w *Workload) string { return w.Namespace }},
	"platformNamespace": {text: func(w *Workload) string { return w.PlatformNamespace }},
	"target":            {text: func(w *Workload) string { return w.Target }},
	"owner":             {text: func(w *Workload) string { return w.Owner.Kind + "/" + w.Owner.Name }},
	"flavor":            {text: func(w *Workload) string { return w.Flavor }},
	"mode":              {text: func(w *Workload) string { return w.Mode }},
	"state":             {text: func(w *Workload) string { return w.State }},
	"pods":              {number: func(w *Workload) int64 { return int64(w.Pods) }},
	"cpu":               {number: func(w *Workload) int64 { return w.Requests.MilliCPU }},
	"memory":            {number: func(w *Workload) int64 { return w.Requests.Memory }},
	"since":             {number: func(w *Workload) int64 { return w.Since.UnixMilli() }},
}

// Sorts are the orders of [Query.Sort].
var Sorts = slices.DeleteFunc(slices.Sorted(maps.Keys(sorts)), func(s string) bool { return s == "" })

// List returns a page of the workloads that a query selects. Pages neither skip nor repeat a
// workload whose sort value stays.
func (v *Inventory) List(q Query) (Page, error) {
	by, ok := sorts[q.Sort]
	if !ok {
		return Page{}, fmt.Errorf("%w: sort is %q: use one of %s", ErrInvalidQuery, q.Sort, strings.Join(Sorts, ", "))
	}
	last, err := hex.DecodeString(q.Continue)
	if err != nil || q.Continue != strings.ToLower(q.Continue) {
		return Page{}, fmt.Errorf("%w: continue is %q, which is not a token: use that of the previous page, or omit it", ErrInvalidQuery, q.Continue)
	}
	rows, err := v.selected(q.Filter)
	if err != nil {
		return Page{}, err
	}
	direction := 1
	if q.Descending {
		direction = -1
	}
	slices.SortFunc(rows, func(a, b *entry) int { return direction * by.compare(a, b) })
	page := Page{Total: len(rows)}
	if q.Continue != "" {
		at := slices.IndexFunc(rows, func(e *entry) bool { return direction*by.comparePosition(e, string(last)) > 0 })
		if at < 0 {
			at = len(rows)
		}
		rows = rows[at:]
	}
	if q.Limit > 0 && len(rows) > q.Limit {
		rows = rows[:q.Limit]
		page.Continue = hex.EncodeToString([]byte(by.position(rows[len(rows)-1])))
	}
	page.Items = make([]Workload, len(rows))
	for i, e := range rows {
		page.Items[i] = e.Workload
	}
	return page, nil
}

// selected returns the workloads that a filter selects, unordered.
func (v *Inventory) selected(f Filter) ([]*entry, error) {
	text := strings.ToLower(f.Text)
	v.mu.RLock()
	all := make([]*entry, 0, len(v.workloads))
	for _, e := range v.workloads {
		if f.selects(&e.Workload, text) {
			all = append(all, e)
		}
	}
	v.mu.RUnlock()
	if f.Visible == nil {
		return all, nil
	}
	visible := map[string]bool{}
	found := all[:0]
	for _, e := range all {
		may, known := visible[e.Readers()]
		if !known {
			var err error
			if may, err = f.Visible(e.Readers()); err != nil {
				return nil, err
			}
			visible[e.Readers()] = may
		}
		if may {
			found = append(found, e)
		}
	}
	return found, nil
}

// Selects reports whether the fields of a filter match a workload, without its Visible.
func (f Filter) Selects(w Workload) bool { return f.selects(&w, strings.ToLower(f.Text)) }

// selects reports whether the fields of a filter match, without its Visible.
func (f *Filter) selects(w *Workload, lowerText string) bool {
	return (f.PlatformNamespace == "" || f.PlatformNamespace == w.PlatformNamespace) &&
		(f.Namespace == "" || f.Namespace == w.Namespace) &&
		(f.Target == "" || f.Target == w.Target) &&
		(f.Kind == "" || f.Kind == w.Kind) &&
		(f.Name == "" || f.Name == w.Name) &&
		(!f.Unhealthy || !w.Healthy()) &&
		(lowerText == "" || w.matches(lowerText))
}
