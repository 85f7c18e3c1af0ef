package registry

import (
	"context"
	"errors"
	"sync"
)

// What a [Store] answers when it does not do what it was asked. Anything else
// is a failure of the backend, and whether a write took place is then unknown.
var (
	ErrNotFound = errors.New("no such object")
	ErrExists   = errors.New("object exists")
	ErrConflict = errors.New("object has another version")
	ErrClosed   = errors.New("store is closed")
)

// Store keeps objects and returns them. It knows no rule but versions: names,
// immutability and references are the [Registry]'s.
//
// Objects go in and out by value; neither side may change what the other
// holds. Names are compared byte by byte: names that differ only in case are
// different names. A write has been made durable when the call returns nil.
// All methods may be called at once from any goroutine, and end early with
// the context's error when it ends before they take effect.
type Store interface {
	// List returns the objects of a kind, ordered by namespace and name, byte
	// by byte; those of one platform namespace unless namespace is empty.
	List(ctx context.Context, kind Kind, namespace string) ([]Object, error)

	// Get returns one object, or ErrNotFound.
	Get(ctx context.Context, key Key) (Object, error)

	// Create keeps a new object at version 1 and returns it as kept, or
	// ErrExists.
	Create(ctx context.Context, o Object) (Object, error)

	// Update replaces the object at o's key when its version is still
	// expected, and returns it as kept, with the next version; else
	// ErrConflict or ErrNotFound.
	Update(ctx context.Context, o Object, expected int32) (Object, error)

	// Delete removes an object when its version is still expected; else
	// ErrConflict or ErrNotFound.
	Delete(ctx context.Context, key Key, expected int32) error

	// Watch calls observe with every object of the kind that is there, as
	// Added, before it returns; and after that with every change, in order,
	// one call at a time, with no gap and no repeat, until ctx ends.
	//
	// observe is called before the write is acknowledged, so that whoever wrote
	// finds it observed; of a write by another process, soon after. observe
	// must be quick and must not call the store.
	Watch(ctx context.Context, kind Kind, observe func(Event)) error

	// Close ends all watches and frees what the store holds. Calls after it
	// answer ErrClosed.
	Close() error
}

type currentKey struct{}

// Current returns a context in which a store's List and Get show every write
// that any process had acknowledged when they were called. A store that only one
// process writes to always does; others may otherwise answer from what they saw
// a moment ago.
//
// Whoever decides on a write by what is there reads so.
func Current(ctx context.Context) context.Context {
	return context.WithValue(ctx, currentKey{}, true)
}

// IsCurrent reports whether a context is from [Current].
func IsCurrent(ctx context.Context) bool { return ctx.Value(currentKey{}) != nil }

// Change says what happened to an object.
type Change string

// The changes that a watch reports.
const (
	Added    Change = "Added"
	Modified Change = "Modified"
	Deleted  Change = "Deleted"
)

// Event is one change of one object. A Deleted event carries the object's last
// state.
type Event struct {
	Change Change
	Object Object
}

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

// SharedStore is a [Store] that several processes write to. The registry's lock
// holds in one process; of "create a Deployment" in one and "delete its target"
// in another the store sees to it that one comes first.
//
// The two meet on the object that is referred to: who deletes it marks it, looks
// for references, and deletes it only if the mark is still there; who has
// written a reference looks at it, and takes a mark away.
type SharedStore interface {
	Store

	// DeleteIf is Delete of an object on which check finds that nothing stands.
	// check may be called more than once, and reads with the context that it is
	// given. Its error is returned, and nothing was deleted then.
	DeleteIf(ctx context.Context, key Key, expected int32, check func(context.Context) error) error

	// Confirm says of an object that it is there, after a reference to it was
	// written: no DeleteIf whose check did not see that reference will delete
	// it. id is that of the object, or empty if any will do. ErrNotFound if it
	// is gone.
	Confirm(ctx context.Context, key Key, id string) error
}
