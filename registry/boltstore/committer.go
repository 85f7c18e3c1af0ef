package boltstore

import (
	"context"

	"drey.dev/drey/registry"
)

// maxBatch is the maximum number of writes in a transaction.
const maxBatch = 256

// commit is a request to the committer: a write, or the start of a watch.
type commit struct {
	ctx   context.Context
	write func(*writing) (*registry.Event, error) // with an error and no event, it changed nothing
	watch func() error

	event *registry.Event
	err   error
	done  chan struct{}
}

func (s *Store) commit(ctx context.Context, write func(*writing) (*registry.Event, error)) error {
	return s.enqueue(ctx, &commit{ctx: ctx, write: write})
}

// enqueue waits until the committer has processed c. Once c is queued, the end of the context does
// not end the wait: the caller needs the result.
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

// gather returns first and the requests queued behind it.
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

// writeAll runs writes in one transaction, and publishes their events when they are on disk.
func (s *Store) writeAll(batch []*commit) {
	inFile, err := s.transact(func(w *writing) error {
		for _, c := range batch {
			if c.err = c.ctx.Err(); c.err == nil {
				c.event, c.err = c.write(w)
			}
			if c.err != nil && c.event != nil { // partly written: roll back
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
		case !inFile && err != nil: // also for refusals, which may be due to a write that was rolled back
			c.err = err
		}
	}
}
