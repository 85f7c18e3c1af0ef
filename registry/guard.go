package registry

import (
	"context"
	"fmt"
	"sync"
)

// guard is a lock for many readers or one writer. Waiting for it ends with the context,
// and readers do not overtake a writer that waits. A nil guard is never held.
type guard struct {
	turn chan struct{} // is held to get in, and by a writer until it leaves

	mu      sync.Mutex
	readers int
	empty   chan struct{} // closed when the last reader leaves; nil: no writer waits
}

// guardOf returns the guard for a store: nil if it has [SharedWrites]. Its calls are requests
// to an API server, during which the lock would be held without excluding other processes.
func guardOf(s Store) *guard {
	if s.Capabilities().SharedWrites != nil {
		return nil
	}
	return newGuard()
}

func newGuard() *guard { return &guard{turn: make(chan struct{}, 1)} }

func (g *guard) take(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("wait for other writes: %w", err)
	}
	select {
	case g.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for other writes: %w", ctx.Err())
	}
}

// lock holds the guard alone until unlock.
func (g *guard) lock(ctx context.Context) (unlock func(), err error) {
	if g == nil {
		return func() {}, ctx.Err()
	}
	if err := g.take(ctx); err != nil {
		return nil, err
	}
	g.mu.Lock()
	var empty chan struct{}
	if g.readers > 0 {
		empty = make(chan struct{})
		g.empty = empty
	}
	g.mu.Unlock()
	if empty != nil {
		select {
		case <-empty:
		case <-ctx.Done():
			g.mu.Lock()
			g.empty = nil
			g.mu.Unlock()
			<-g.turn
			return nil, fmt.Errorf("wait for other writes: %w", ctx.Err())
		}
	}
	return func() { <-g.turn }, nil
}

// share holds the guard along with others until unlock.
func (g *guard) share(ctx context.Context) (unlock func(), err error) {
	if g == nil {
		return func() {}, ctx.Err()
	}
	if err := g.take(ctx); err != nil {
		return nil, err
	}
	defer func() { <-g.turn }()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.readers++
	return g.leave, nil
}

func (g *guard) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.readers--; g.readers == 0 && g.empty != nil {
		close(g.empty)
		g.empty = nil
	}
}
