package denials

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"drey.dev/drey/feed"
)

// History is the table of denials: those of the shared document, and those of this replica
// that are not written yet. It is safe for concurrent use.
type History struct {
	replica string
	dropped func()
	now     func() time.Time
	limits  limits
	changes feed.Feed[string, Denial]

	mu       sync.RWMutex
	stored   table     // of the document
	revision int64     // of the document
	written  time.Time // last write by this replica
	writing  table     // in a write that has not returned
	pending  table     // to be written next
	urgent   bool      // pending has a key that readers do not know
	wake     chan struct{}
}

// table has denials by key, and the objects that were denied themselves.
type table struct {
	denials map[string]Denial
	objects map[object]struct{}
}

// object is an object that was denied itself, for a reason and in a mode.
type object struct{ namespace, kind, name, reason, mode string }

func newTable() table {
	return table{make(map[string]Denial), make(map[object]struct{})}
}

func (t table) put(key string, d Denial) {
	t.denials[key] = d
	if d.Owner.Name == "" {
		t.objects[object{d.Namespace, d.Kind, d.Name, d.Reason, d.Mode}] = struct{}{}
	}
}

// tableOf returns the table of a document.
func tableOf(all []Denial) table {
	t := newTable()
	for _, d := range all {
		t.put(d.Key(), d)
	}
	return t
}

// Change is a new or repeated denial, or one that is gone.
type Change = feed.Change[Denial]

// Subscription receives changes of denials.
type Subscription = feed.Subscription[string, Denial]

// NewHistory returns an empty history of a replica. dropped is called for each denial that
// exceeds the limits of [History.Record]; it may be nil.
func NewHistory(replica string, dropped func()) *History {
	if dropped == nil {
		dropped = func() {}
	}
	return &History{
		replica: replica, dropped: dropped, now: time.Now, limits: newLimits(),
		stored: newTable(), pending: newTable(), wake: make(chan struct{}, 1),
	}
}

// SetClock makes the history read the time from now, for tests. It precedes all other methods.
func (h *History) SetClock(now func() time.Time) { h.now = now }

// Record adds a denial. It sets its times, count and replica, and truncates its texts. sender
// identifies a client that may have forged the denial; empty: it cannot. New denials of one
// sender and of one namespace are limited; repeated ones only count. It never blocks.
func (h *History) Record(d Denial, sender string) {
	d = d.truncated()
	d.First = h.now().UTC().Truncate(time.Millisecond)
	d.Last, d.Count, d.Replica = d.First, 1, h.replica
	key := d.Key()
	h.mu.Lock()
	before, known := h.lookup(key)
	if !known && (len(h.pending.denials) >= maxDenials || !h.limits.allow(sender, d.Namespace, d.First)) {
		h.mu.Unlock()
		h.dropped()
		return
	}
	if waiting, ok := h.pending.denials[key]; ok {
		h.pending.put(key, combine(waiting, d))
	} else {
		h.pending.put(key, d)
	}
	h.urgent = h.urgent || !known
	if known {
		d = combine(before, d)
	}
	h.mu.Unlock()
	select {
	case h.wake <- struct{}{}:
	default:
	}
	h.changes.Publish(key, Change{Value: d})
}

// lookup returns a denial with its counts in the document and of this replica.
func (h *History) lookup(key string) (d Denial, ok bool) {
	for _, part := range [...]table{h.stored, h.writing, h.pending} {
		if p, found := part.denials[key]; found && ok {
			d = combine(d, p)
		} else if found {
			d, ok = p, true
		}
	}
	return d, ok
}

// HasObject reports whether the history has a denial of an object itself, by any user, with a
// reason and in a mode.
func (h *History) HasObject(namespace, kind, name, reason, mode string) bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	o := object{namespace, kind, name, reason, mode}
	for _, part := range [...]table{h.stored, h.writing, h.pending} {
		if _, ok := part.objects[o]; ok {
			return true
		}
	}
	return false
}

// all returns all denials that are not expired.
func (h *History) all() []Denial {
	h.mu.RLock()
	defer h.mu.RUnlock()
	oldest := h.now().Add(-Retention)
	all := make([]Denial, 0, len(h.stored.denials)+len(h.pending.denials))
	for i, part := range [...]table{h.stored, h.writing, h.pending} {
		for key := range part.denials {
			if _, before := h.stored.denials[key]; i > 0 && before {
				continue
			}
			if _, before := h.writing.denials[key]; i > 1 && before {
				continue
			}
			if d, _ := h.lookup(key); d.Last.After(oldest) {
				all = append(all, d)
			}
		}
	}
	return all
}

// Subscribe returns a subscription to changes, which include denials that the reader may not
// see.
func (h *History) Subscribe() *Subscription { return h.changes.Subscribe() }

// List returns a page of the denials that a query selects, the newest first.
func (h *History) List(q Query) (Page, error) {
	last, err := hex.DecodeString(q.Continue)
	if err != nil || q.Continue != strings.ToLower(q.Continue) {
		return Page{}, fmt.Errorf("%w: continue is %q, which is not a token: use that of the previous page, or omit it", ErrInvalidQuery, q.Continue)
	}
	selected, err := h.selected(q.Filter)
	if err != nil {
		return Page{}, err
	}
	slices.SortFunc(selected, func(a, b Denial) int {
		if order := b.Last.Compare(a.Last); order != 0 {
			return order
		}
		return cmp.Compare(b.Key(), a.Key())
	})
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
		page.Continue = hex.EncodeToString([]byte(selected[len(selected)-1].position()))
	}
	if len(selected) > 0 {
		page.Items = selected
	}
	return page, nil
}

// position is where a denial stands in the list, by time.
func (d Denial) position() string {
	return d.Last.UTC().Format("20060102150405.000000000") + "\x00" + d.Key()
}

func (h *History) selected(f Filter) ([]Denial, error) {
	var all, found []Denial
	text := strings.ToLower(f.Text)
	for _, d := range h.all() {
		if f.selects(d, text) {
			all = append(all, d)
		}
	}
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

// Selects reports whether the fields of a filter match a denial, without its Visible.
func (f Filter) Selects(d Denial) bool { return f.selects(d, strings.ToLower(f.Text)) }

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
