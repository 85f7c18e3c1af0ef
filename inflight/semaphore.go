package inflight

import (
	"container/list"
	"context"
	"sync"
)

// semaphore is a weighted FIFO semaphore: small acquisitions do not starve a large one.
type semaphore struct {
	size int64

	mu      sync.Mutex
	free    int64
	waiters list.List // of *waiter
}

type waiter struct {
	n     int64
	ready chan struct{} // closed once n is acquired
}

func newSemaphore(size int64) *semaphore { return &semaphore{size: size, free: size} }

// try acquires n if that is possible without waiting.
func (s *semaphore) try(n int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n > s.free || s.waiters.Len() > 0 {
		return false
	}
	s.free -= n
	return true
}

// acquire waits for n. It returns the cause of the context if that ends first.
func (s *semaphore) acquire(ctx context.Context, n int64) error {
	if s.try(n) {
		return nil
	}
	w := &waiter{n, make(chan struct{})}
	s.mu.Lock()
	element := s.waiters.PushBack(w)
	s.serve() // n may have become free since try
	s.mu.Unlock()
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-w.ready: // acquired while the context ended
		return nil
	default:
	}
	s.waiters.Remove(element)
	s.serve() // the next waiter may be smaller
	return context.Cause(ctx)
}

// exceed acquires n without waiting, even if it is not free.
func (s *semaphore) exceed(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free -= n
}

func (s *semaphore) release(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free += n
	s.serve()
}

// serve grants free capacity to waiters in order. The caller holds mu.
func (s *semaphore) serve() {
	for e := s.waiters.Front(); e != nil; e = s.waiters.Front() {
		w := e.Value.(*waiter)
		if w.n > s.free {
			return
		}
		s.free -= w.n
		s.waiters.Remove(e)
		close(w.ready)
	}
}
