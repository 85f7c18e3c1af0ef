// Package feed publishes the changes of an in-memory table to subscribers. A slow subscriber
// gets the newest state of each row and misses intermediate ones, so it blocks no publisher and its
// memory is bounded by the size of the table.
package feed

import (
	"cmp"
	"maps"
	"slices"
	"sync"
)

// Change is the newest state of one row.
type Change[V any] struct {
	Deleted bool // Value is the last state before the deletion
	Value   V
}

// Feed publishes changes by key. The zero value is ready to use.
type Feed[K cmp.Ordered, V any] struct {
	mu            sync.Mutex
	subscriptions map[*Subscription[K, V]]struct{}
}

// Subscription receives the changes after its creation, until Close.
type Subscription[K cmp.Ordered, V any] struct {
	feed    *Feed[K, V]
	ready   chan struct{}
	pending map[K]Change[V] // guarded by feed.mu
}

// Subscribe returns a new subscription.
func (f *Feed[K, V]) Subscribe() *Subscription[K, V] {
	s := &Subscription[K, V]{feed: f, ready: make(chan struct{}, 1), pending: make(map[K]Change[V])}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.subscriptions == nil {
		f.subscriptions = make(map[*Subscription[K, V]]struct{})
	}
	f.subscriptions[s] = struct{}{}
	return s
}

// Publish hands a change to all subscriptions. It never blocks.
func (f *Feed[K, V]) Publish(key K, c Change[V]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for s := range f.subscriptions {
		s.pending[key] = c
		select {
		case s.ready <- struct{}{}:
		default:
		}
	}
}

// Ready returns a channel that receives a value once there are changes to take.
func (s *Subscription[K, V]) Ready() <-chan struct{} { return s.ready }

// Take returns the changes since the last call, the newest of each key, ordered by key.
func (s *Subscription[K, V]) Take() []Change[V] {
	s.feed.mu.Lock()
	pending := s.pending
	s.pending = make(map[K]Change[V])
	s.feed.mu.Unlock()
	all := make([]Change[V], 0, len(pending))
	for _, key := range slices.Sorted(maps.Keys(pending)) {
		all = append(all, pending[key])
	}
	return all
}

// Close ends the subscription.
func (s *Subscription[K, V]) Close() {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	delete(s.feed.subscriptions, s)
}
