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
	List(ctx context.Context, kind Kind, namespace string, c Consistency) ([]Object, error)

	// Get returns one object, or ErrNotFound.
	Get(ctx context.Context, key Key, c Consistency) (Object, error)

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

	// Capabilities returns what the store supports. It does not change.
	Capabilities() Capabilities

	// Close ends all watches and frees what the store holds. Calls after it
	// answer ErrClosed.
	Close() error
}

// Consistency selects the source of a read.
type Consistency int

const (
	// Cached reads may come from the store's cache: they show every write of this process,
	// and those of other processes once the cache has received them.
	Cached Consistency = iota
	// Consistent reads show every write that any process had acknowledged when the read
	// began. Writes are validated with them.
	Consistent
)

// Capabilities are what a store supports beyond the methods of [Store]. The zero value is a
// store that a single process writes to.
type Capabilities struct {
	// SharedWrites keeps references consistent when several processes write to the store;
	// nil: this process is the only writer.
	SharedWrites SharedWrites
	// APITokens: the store keeps objects of kind [APIToken].
	APITokens bool
	// ExactSpecs: the store returns the JSON text of a spec to the byte. Others keep the
	// digits of numbers, but neither the order of keys nor the escapes of strings.
	ExactSpecs bool
}

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

// SharedWrites serializes deletions with writes of references to the deleted object, across
// all processes that write to the store. The lock of a [Registry] does that for one process.
//
// The registry holds no lock during their calls. A platform namespace exists as long as it has
// an object: if one is created during the deletion of the platform namespace, both succeed.
//
// Both operations use a mark on the referenced object: a deleter sets the mark, looks for
// references, and deletes the object only if the mark is still set; a writer of a reference
// removes the mark afterwards.
type SharedWrites interface {
	// DeleteIf is Store.Delete of an object for which check returns nil. check may run more
	// than once; its error is returned, and nothing was deleted then.
	DeleteIf(ctx context.Context, key Key, expected int32, check func(context.Context) error) error

	// Confirm verifies, after a reference to an object was written, that the object exists
	// and that no concurrent DeleteIf whose check missed the reference deletes it. id is the
	// object's id, or empty for any. ErrNotFound if the object is gone.
	Confirm(ctx context.Context, key Key, id string) error
}
