package denials

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"sync"

	"drey.dev/drey/feed"
)

// History is the table of denials. It is safe for concurrent use.
type History struct {
	mu      sync.RWMutex
	denials map[string]Denial // by key
	changes feed.Feed[string, Denial]
}

// Change is a new, repeated or expired denial.
type Change = feed.Change[Denial]

// Subscription receives changes of denials.
type Subscription = feed.Subscription[string, Denial]

// NewHistory returns an empty history.
func NewHistory() *History { return &History{denials: make(map[string]Denial)} }

// Put adds or replaces a denial.
func (h *History) Put(d Denial) {
	h.mu.Lock()
	h.denials[d.Key()] = d
	h.mu.Unlock()
	h.changes.Publish(d.Key(), Change{Value: d})
}

// Subscribe returns a subscription to changes, which include denials that the reader may not
// see.
func (h *History) Subscribe() *Subscription { return h.changes.Subscribe() }

// List returns a page of the denials that a query selects, the newest first.
func (h *History) List(q Query) (Page, error) {
	last, err := base64.RawURLEncoding.DecodeString(q.Continue)
	if err != nil {
		return Page{}, fmt.Errorf("%w: continue is %q, which is not a token: use that of the previous page, or omit it", ErrInvalidQuery, q.Continue)
	}
	selected, err := h.selected(q.Filter)
	if err != nil {
		return Page{}, err
	}
	slices.SortFunc(selected, func(a, b Denial) int { return cmp.Compare(b.position(), a.position()) })
	page := Page{Items: []Denial{}, Total: len(selected)}
	if q.Continue != "" {
		at := slices.IndexFunc(selected, func(d Denial) bool { return d.position() < string(last) })
		if at < 0 {
			at = len(selected)
		}
		selected = selected[at:]
	}
	if q.Limit > 0 && len(selected) > q.Limit {
		selected = selected[:q.Limit]
		page.Continue = base64.RawURLEncoding.EncodeToString([]byte(selected[len(selected)-1].position()))
	}
	page.Items = append(page.Items, selected...)
	return page, nil
}

// position is where a denial stands in the list, by time.
func (d Denial) position() string {
	return d.Last.UTC().Format("20060102150405.000000000") + "\x00" + d.Key()
}

func (h *History) selected(f Filter) ([]Denial, error) {
	var all, found []Denial
	text := strings.ToLower(f.Text)
	h.mu.RLock()
	for _, d := range h.denials {
		if f.selects(d, text) {
			all = append(all, d)
		}
	}
	h.mu.RUnlock()
	if f.Visible == nil {
		return all, nil
	}
	visible := map[string]bool{}
	for _, d := range all {
		may, known := visible[d.PlatformNamespace]
		if !known {
			var err error
			if may, err = f.Visible(d.PlatformNamespace); err != nil {
				return nil, err
			}
			visible[d.PlatformNamespace] = may
		}
		if may {
			found = append(found, d)
		}
	}
	return found, nil
}

// selects reports whether the fields of a filter match, without its Visible.
func (f Filter) selects(d Denial, lowerText string) bool {
	return (f.PlatformNamespace == "" || f.PlatformNamespace == d.PlatformNamespace) &&
		(f.Namespace == "" || f.Namespace == d.Namespace) &&
		(f.Reason == "" || f.Reason == d.Reason) &&
		(f.Mode == "" || f.Mode == d.Mode) &&
		(f.Since.IsZero() || !d.Last.Before(f.Since)) &&
		(lowerText == "" || d.matches(lowerText))
}

func (d Denial) matches(text string) bool {
	for _, field := range []string{d.User, d.Name, d.Namespace, d.Kind, d.Reason, d.PlatformNamespace, d.Owner.Name, d.Message} {
		if strings.Contains(strings.ToLower(field), text) {
			return true
		}
	}
	return false
}
