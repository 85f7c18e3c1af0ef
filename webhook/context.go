package webhook

import (
	"context"
	"sync"
	"time"
)

// boundedContext is a context with a deadline, whose timer starts when Done is called: most
// owners are in a cache, and a timer for each review costs more than the cache. stop frees it.
type boundedContext struct {
	context.Context
	deadline time.Time

	mu     sync.Mutex
	timed  context.Context // nil before Done
	cancel context.CancelFunc
}

func newBoundedContext(parent context.Context, timeout time.Duration) *boundedContext {
	return &boundedContext{Context: parent, deadline: time.Now().Add(timeout)}
}

// Deadline implements context.Context.
func (c *boundedContext) Deadline() (time.Time, bool) {
	if earlier, ok := c.Context.Deadline(); ok && earlier.Before(c.deadline) {
		return earlier, true
	}
	return c.deadline, true
}

// Done implements context.Context.
func (c *boundedContext) Done() <-chan struct{} { return c.withTimer().Done() }

// Err implements context.Context.
func (c *boundedContext) Err() error {
	c.mu.Lock()
	timed := c.timed
	c.mu.Unlock()
	if timed == nil && time.Now().Before(c.deadline) {
		return c.Context.Err()
	}
	return c.withTimer().Err() // not nil once Done is closed, by stop too
}

func (c *boundedContext) withTimer() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timed == nil {
		c.timed, c.cancel = context.WithDeadline(c.Context, c.deadline)
	}
	return c.timed
}

// stop ends the context if its timer has started.
func (c *boundedContext) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cancel != nil {
		c.cancel()
	}
}
