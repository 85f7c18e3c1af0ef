package boltstore

import (
	"context"

	"drey.dev/drey/registry"
)

// maxBatch bounds how many writes share a transaction.
const maxBatch = 256

// commit is one request to the committer: a write, or a watch that begins
// between two writes.
type commit struct {
	ctx   context.Context
	write func(*writing) (*registry.Event, error) // has changed nothing when it returns an error without an event
	watch func() error

	event *registry.Event
	err   error
	done  chan struct{}
}

func (s *Store) commit(ctx context.Context, write func(*writing) (*registry.Event, error)) error {
	return s.enqueue(ctx, &commit{ctx: ctx, write: write})
}

// enqueue waits until the committer has dealt with c. A write that was queued
// is always waited for: the caller must know whether it took place.
func (s *Store) enqueue(ctx context.Context, c *commit) error {
	c.done = make(chan struct{})
	s.mu.RLock()
	if s.closed {
		s.mu.RUnlock()
		return registry.ErrClosed
	}
	select {
	case s.queue <- c:
		s.mu.RUnlock()
	case <-ctx.Done():
		s.mu.RUnlock()
		return ctx.Err()
	}
	<-c.done
	return c.err
}

func (s *Store) run() {
	defer close(s.done)
	for first := range s.queue {
		batch := s.gather(first)
		for len(batch) > 0 {
			n := 1
			if batch[0].watch != nil {
				batch[0].err = batch[0].watch()
			} else {
				for n < len(batch) && batch[n].write != nil {
					n++
				}
				s.writeAll(batch[:n])
			}
			for _, c := range batch[:n] {
				close(c.done)
			}
			batch = batch[n:]
		}
	}
}

// gather takes what has queued up behind first.
func (s *Store) gather(first *commit) []*commit {
	batch := []*commit{first}
	for len(batch) < maxBatch {
		select {
		case c, ok := <-s.queue:
			if !ok {
				return batch
			}
			batch = append(batch, c)
		default:
			return batch
		}
	}
	return batch
}

// writeAll runs the writes in one transaction and publishes their events once
// they are on disk.
func (s *Store) writeAll(batch []*commit) {
	inFile, err := s.transact(func(w *writing) error {
		for _, c := range batch {
			if c.err = c.ctx.Err(); c.err == nil {
				c.event, c.err = c.write(w)
			}
			if c.err != nil && c.event != nil { // it began to write: undo everything
				return c.err
			}
		}
		return nil
	})
	for _, c := range batch {
		switch {
		case inFile && c.err == nil:
			s.feed.Publish(*c.event)
			c.err = err
		case !inFile && err != nil: // a refusal, too, may be due to a write that was undone
			c.err = err
		}
	}
}
