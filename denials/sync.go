package denials

import (
	"context"
	"log/slog"
	"maps"
	"time"
)

// Store holds the document of a history.
type Store interface {
	// Update replaces the document by the result of change, atomically: if another replica
	// writes meanwhile, change is called again with its document.
	Update(ctx context.Context, change func(Document) Document) error

	// Watch calls changed with the document, and after each change, until ctx ends.
	Watch(ctx context.Context, changed func(Document)) error
}

const (
	writeDelay     = 200 * time.Millisecond // collects denials that come together
	writeInterval  = time.Second            // between writes
	countInterval  = 10 * time.Second       // between writes that only change counts
	maxRetryDelay  = 30 * time.Second
	writeTimeout   = 10 * time.Second
	lastTimeout    = 2 * time.Second // of the write at the end
	staleDocuments = 5 * time.Second // after a write, within which older documents may arrive
)

// Run shares the history through a store until ctx ends. A failed write is retried, and the
// denials stay in memory until then.
func (h *History) Run(ctx context.Context, store Store, log *slog.Logger) {
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		if err := store.Watch(ctx, h.replace); err != nil && ctx.Err() == nil {
			log.Warn("history of denials not read: denials of other replicas and of earlier runs are missing", "error", err)
		}
	}()
	retry := time.Duration(0)
	for {
		select {
		case <-ctx.Done():
			<-watched
			h.writeLast(ctx, store, log)
			return
		case <-h.wake:
		}
		if !h.sleepUntilDue(ctx, retry) {
			continue
		}
		if err := h.write(ctx, store, writeTimeout); err != nil && ctx.Err() == nil {
			if retry == 0 {
				log.Warn("history of denials not written: it is retried, and other replicas do not show these denials yet", "error", err)
			}
			retry = min(max(2*retry, time.Second), maxRetryDelay)
			h.signal()
			continue
		}
		retry = 0
	}
}

// Follow keeps the history up to date with a store until ctx ends, for a reader that records
// nothing.
func (h *History) Follow(ctx context.Context, store Store) error { return store.Watch(ctx, h.replace) }

// Load replaces the history's copy of a store's document.
func (h *History) Load(d Document) { h.replace(d) }

// writeLast writes the pending records after ctx has ended.
func (h *History) writeLast(ctx context.Context, store Store, log *slog.Logger) {
	if err := h.write(context.WithoutCancel(ctx), store, lastTimeout); err != nil {
		log.Warn("last denials not written to the history", "error", err)
	}
}

func (h *History) signal() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// sleepUntilDue waits until the next write may happen. It returns false if ctx ends.
func (h *History) sleepUntilDue(ctx context.Context, retry time.Duration) bool {
	first := h.now()
	for {
		h.mu.RLock()
		due := h.written.Add(countInterval)
		if h.urgent {
			due = h.written.Add(writeInterval)
		}
		h.mu.RUnlock()
		timer := time.NewTimer(max(due.Sub(h.now()), first.Add(max(writeDelay, retry)).Sub(h.now())))
		select {
		case <-ctx.Done():
			timer.Stop()
			return false
		case <-timer.C:
			return true
		case <-h.wake: // perhaps it has become urgent
			timer.Stop()
		}
	}
}

// write adds the pending records to the document.
func (h *History) write(ctx context.Context, store Store, timeout time.Duration) error {
	h.mu.Lock()
	if len(h.pending.denials) == 0 {
		h.mu.Unlock()
		return nil
	}
	h.writing, h.pending, h.urgent = h.pending, newTable(), false
	adding := h.writing.denials // not modified while it is written
	h.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var result Document
	err := store.Update(ctx, func(d Document) Document {
		result = d.with(adding, h.now())
		return result
	})
	h.mu.Lock()
	defer h.mu.Unlock()
	h.writing = table{}
	if err != nil {
		for key, d := range adding {
			if later, ok := h.pending.denials[key]; ok {
				d = combine(d, later)
			}
			h.pending.put(key, d)
		}
		h.urgent = true
		return err
	}
	h.stored, h.revision, h.written = tableOf(result.Denials), result.Revision, h.now()
	for key := range adding { // counts may have been wrong while both parts had them
		if d, ok := h.lookup(key); ok {
			h.changes.Publish(key, Change{Value: d})
		}
	}
	return nil
}

// replace takes a document of the store's watch. Shortly after a write, one that is older is
// ignored.
func (h *History) replace(d Document) {
	h.mu.Lock()
	if d.Revision < h.revision && h.now().Sub(h.written) < staleDocuments {
		h.mu.Unlock()
		return
	}
	before := h.stored.denials
	h.stored, h.revision = tableOf(d.Denials), d.Revision
	changes := map[string]Change{}
	for key, old := range before {
		if _, ok := h.lookup(key); !ok {
			changes[key] = Change{Deleted: true, Value: old}
		}
	}
	for key, now := range h.stored.denials {
		if old, ok := before[key]; !ok || old.Count != now.Count || !old.Last.Equal(now.Last) {
			now, _ = h.lookup(key)
			changes[key] = Change{Value: now}
		}
	}
	h.mu.Unlock()
	for key, c := range maps.All(changes) {
		h.changes.Publish(key, c)
	}
}
