package inventory

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
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

// sorts are the values to sort by. Equal values are ordered by key.
var sorts = map[string]func(Workload) string{
	"":                  func(Workload) string { return "" },
	"name":              func(w Workload) string { return cmp.Or(w.Name, w.Owner.Name) },
	"namespace":         func(w Workload) string { return w.Namespace },
	"platformNamespace": func(w Workload) string { return w.PlatformNamespace },
	"target":            func(w Workload) string { return w.Target },
	"owner":             func(w Workload) string { return w.Owner.Kind + "/" + w.Owner.Name },
	"flavor":            func(w Workload) string { return w.Flavor },
	"mode":              func(w Workload) string { return w.Mode },
	"state":             func(w Workload) string { return w.State },
	"pods":              func(w Workload) string { return fmt.Sprintf("%020d", w.Pods) },
	"cpu":               func(w Workload) string { return fmt.Sprintf("%020d", w.Requests.MilliCPU) },
	"memory":            func(w Workload) string { return fmt.Sprintf("%020d", w.Requests.Memory) },
	"since":             func(w Workload) string { return w.Since.UTC().Format("20060102150405.000000000") },
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
	selected, err := v.selected(q.Filter)
	if err != nil {
		return Page{}, err
	}
	rows := make([]row, len(selected))
	for i, w := range selected {
		rows[i] = row{by(w) + "\x00" + w.Key(), w}
	}
	direction := 1
	if q.Descending {
		direction = -1
	}
	slices.SortFunc(rows, func(a, b row) int { return direction * cmp.Compare(a.position, b.position) })
	page := Page{Items: []Workload{}, Total: len(rows)}
	if q.Continue != "" {
		at := slices.IndexFunc(rows, func(r row) bool { return direction*cmp.Compare(r.position, string(last)) > 0 })
		if at < 0 {
			at = len(rows)
		}
		rows = rows[at:]
	}
	if q.Limit > 0 && len(rows) > q.Limit {
		rows = rows[:q.Limit]
		page.Continue = hex.EncodeToString([]byte(rows[len(rows)-1].position))
	}
	for _, r := range rows {
		page.Items = append(page.Items, r.Workload)
	}
	return page, nil
}

// row is a workload and its position in a sorted list.
type row struct {
	position string
	Workload
}

// selected returns the workloads that a filter selects, unordered.
func (v *Inventory) selected(f Filter) ([]Workload, error) {
	text := strings.ToLower(f.Text)
	visible := map[string]bool{}
	var all, found []Workload
	v.mu.RLock()
	for _, w := range v.workloads {
		if f.selects(w, text) {
			all = append(all, w)
		}
	}
	v.mu.RUnlock()
	if f.Visible == nil {
		return all, nil
	}
	for _, w := range all {
		may, known := visible[w.Readers()]
		if !known {
			var err error
			if may, err = f.Visible(w.Readers()); err != nil {
				return nil, err
			}
			visible[w.Readers()] = may
		}
		if may {
			found = append(found, w)
		}
	}
	return found, nil
}

// Selects reports whether the fields of a filter match a workload, without its Visible.
func (f Filter) Selects(w Workload) bool { return f.selects(w, strings.ToLower(f.Text)) }

// selects reports whether the fields of a filter match, without its Visible.
func (f Filter) selects(w Workload, lowerText string) bool {
	return (f.PlatformNamespace == "" || f.PlatformNamespace == w.PlatformNamespace) &&
		(f.Namespace == "" || f.Namespace == w.Namespace) &&
		(f.Target == "" || f.Target == w.Target) &&
		(f.Kind == "" || f.Kind == w.Kind) &&
		(f.Name == "" || f.Name == w.Name) &&
		(!f.Unhealthy || !w.Healthy()) &&
		(lowerText == "" || w.matches(lowerText))
}
