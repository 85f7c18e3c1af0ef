package registry

import (
	"context"
	"sync"
)

// Feed hands the events of a store that lives in this process to those who
// watch it. The store calls both methods under whatever orders its writes, so
// that no watcher sees a gap.
type Feed struct {
	mu       sync.Mutex
	watchers map[*watcher]struct{}
}

type watcher struct {
	ctx     context.Context
	kind    Kind
	observe func(Event)
}

// Add calls observe with each object that is there now, and from then on with
// each event of the kind until ctx ends.
func (f *Feed) Add(ctx context.Context, kind Kind, present []Object, observe func(Event)) {
	for _, o := range present {
		observe(Event{Added, o})
	}
	w := &watcher{ctx, kind, observe}
	f.mu.Lock()
	if f.watchers == nil {
		f.watchers = make(map[*watcher]struct{})
	}
	f.watchers[w] = struct{}{}
	f.mu.Unlock()
	context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.watchers, w)
	})
}

// Publish calls every watcher of the event's kind. Each gets a copy of its
// own.
func (f *Feed) Publish(e Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for w := range f.watchers {
		if w.kind == e.Object.Kind && w.ctx.Err() == nil {
			w.observe(Event{e.Change, e.Object.Clone()})
		}
	}
}

// Close forgets all watchers.
func (f *Feed) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watchers = nil
}
