package registry

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
)

// Errors of a [Store]. After any other error, a write may or may not have happened.
var (
	ErrNotFound = errors.New("no such object")
	ErrExists   = errors.New("object exists")
	ErrConflict = errors.New("object has another version")
	ErrClosed   = errors.New("store is closed")
)

// Store stores objects with optimistic concurrency. All other rules, such as names,
// immutability and references, are those of [Registry].
//
// Objects share no memory with the store. Names are case sensitive. A write is durable when
// the call returns nil. All methods are safe for concurrent use, and return the context's
// error if it ends before they take effect.
type Store interface {
	// List returns the objects of a kind in a platform namespace, or in all if namespace is
	// "", in byte order of namespace and name.
	List(ctx context.Context, kind Kind, namespace string, c Consistency) ([]Object, error)

	// Get returns one object, or ErrNotFound.
	Get(ctx context.Context, key Key, c Consistency) (Object, error)

	// Create stores a new object at version 1 and returns it. ErrExists if the key is taken.
	Create(ctx context.Context, o Object) (Object, error)

	// Update replaces the object at o's key and returns it with the next version.
	// ErrConflict unless it is at the expected version.
	Update(ctx context.Context, o Object, expected int32) (Object, error)

	// Delete removes an object. ErrConflict unless it is at the expected version.
	Delete(ctx context.Context, key Key, expected int32) error

	// Watch calls observe with every present object of the kind, as Added, before it returns,
	// and then with every change until ctx ends: in order, one at a time, without gaps or
	// duplicates. Of several watches, the one that began first observes a change first.
	//
	// A write of this process is observed before it returns, one of another process soon
	// after. observe must not block or call the store.
	Watch(ctx context.Context, kind Kind, observe func(Event)) error

	// Capabilities returns what the store supports. It does not change.
	Capabilities() Capabilities

	// Close ends all watches and releases resources. Later calls return ErrClosed.
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

// Change is the type of an [Event].
type Change string

// The types of events.
const (
	Added    Change = "Added"
	Modified Change = "Modified"
	Deleted  Change = "Deleted"
)

// Event is a change of an object. A Deleted event has its last state.
type Event struct {
	Change Change
	Object Object
}

// Feed distributes the events of a store to its watchers. The store calls Add and Publish in
// the order of its writes, so that no watcher misses one.
type Feed struct {
	mu       sync.Mutex
	watchers []*watcher // in the order of Add: what reads an [Index] on an event must find the event in it
}

type watcher struct {
	ctx     context.Context
	kind    Kind
	observe func(Event)
}

// Add calls observe with each present object as Added, and then with each event of the kind
// until ctx ends.
func (f *Feed) Add(ctx context.Context, kind Kind, present []Object, observe func(Event)) {
	for _, o := range present {
		observe(Event{Added, o})
	}
	w := &watcher{ctx, kind, observe}
	f.mu.Lock()
	f.watchers = append(f.watchers, w)
	f.mu.Unlock()
	context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.watchers = slices.DeleteFunc(f.watchers, func(other *watcher) bool { return other == w })
	})
}

// Publish sends an event to the watchers of its kind, in the order of Add, each with a copy of
// the object.
func (f *Feed) Publish(e Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range f.watchers {
		if w.kind == e.Object.Kind && w.ctx.Err() == nil {
			w.observe(Event{e.Change, e.Object.Clone()})
		}
	}
}

// PublishFrom is [Feed.Publish] of an object that is computed only if the kind has a watcher.
func (f *Feed) PublishFrom(kind Kind, change Change, object func() Object) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range f.watchers {
		if w.kind == kind && w.ctx.Err() == nil {
			w.observe(Event{change, object()})
		}
	}
}

// Close removes all watchers.
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

// NextVersion returns the version of an object after a change: 1 after the greatest that REST
// can show.
func NextVersion(version int32) int32 {
	if version == math.MaxInt32 {
		return 1
	}
	return version + 1
}
