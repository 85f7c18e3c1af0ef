package registry

import (
	"context"
	"fmt"
	"sync"
)

// guard is a read-write lock. Waiting ends with the context, and a waiting writer blocks new
// readers. A nil guard is never held.
type guard struct {
	entry chan struct{} // held during acquisition, and by a writer until it releases

	mu      sync.Mutex
	readers int
	empty   chan struct{} // closed when the last reader releases; nil: no writer waits
}

// guardOf returns the guard for a store: nil if it has [SharedWrites]. Its calls are requests
// to an API server, during which the lock would be held without excluding other processes.
func guardOf(s Store) *guard {
	if s.Capabilities().SharedWrites != nil {
		return nil
	}
	return newGuard()
}

func newGuard() *guard { return &guard{entry: make(chan struct{}, 1)} }

func (g *guard) acquire(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("wait for other writes: %w", err)
	}
	select {
	case g.entry <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for other writes: %w", ctx.Err())
	}
}

// lock acquires the guard exclusively.
func (g *guard) lock(ctx context.Context) (unlock func(), err error) {
	if g == nil {
		return func() {}, ctx.Err()
	}
	if err := g.acquire(ctx); err != nil {
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
			<-g.entry
			return nil, fmt.Errorf("wait for other writes: %w", ctx.Err())
		}
	}
	return func() { <-g.entry }, nil
}

// share acquires the guard shared.
func (g *guard) share(ctx context.Context) (unlock func(), err error) {
	if g == nil {
		return func() {}, ctx.Err()
	}
	if err := g.acquire(ctx); err != nil {
		return nil, err
	}
	defer func() { <-g.entry }()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.readers++
	return g.release, nil
}

func (g *guard) release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.readers--; g.readers == 0 && g.empty != nil {
		close(g.empty)
		g.empty = nil
	}
}
