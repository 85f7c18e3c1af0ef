package webhook

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestBoundedContext checks that the context ends at its deadline, with its parent, and with stop,
// and that it has an error from then on.
func TestBoundedContext(t *testing.T) {
	const timeout = time.Second
	type ending struct {
		after time.Duration
		err   error
	}
	for rule, c := range map[string]struct {
		parent func(context.Context) (context.Context, context.CancelFunc)
		stop   time.Duration // after which stop is called; 0: not
		want   ending
	}{
		"timeout": {context.WithCancel, 0, ending{timeout, context.DeadlineExceeded}},
		"canceled parent": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(timeout/2, cancel)
			return ctx, cancel
		}, 0, ending{timeout / 2, context.Canceled}},
		"earlier deadline of the parent": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, timeout/4)
		}, 0, ending{timeout / 4, context.DeadlineExceeded}},
		"later deadline of the parent": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 4*timeout)
		}, 0, ending{timeout, context.DeadlineExceeded}},
		"stop": {context.WithCancel, timeout / 2, ending{timeout / 2, context.Canceled}},
	} {
		for _, waits := range []bool{true, false} { // for Done, or reads Err alone
			if !waits && c.stop > 0 {
				continue // a context without a timer has nothing to stop
			}
			t.Run(rule+map[bool]string{true: ", Done", false: ", Err"}[waits], func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					parent, cancel := c.parent(t.Context())
					defer cancel()
					began := time.Now()
					bounded := newBoundedContext(parent, timeout)
					defer bounded.stop()
					if c.stop > 0 {
						time.AfterFunc(c.stop, bounded.stop)
					}
					earliest := began.Add(timeout)
					if d, ok := parent.Deadline(); ok && d.Before(earliest) {
						earliest = d
					}
					if d, ok := bounded.Deadline(); !ok || !d.Equal(earliest) {
						t.Errorf("deadline %s, %t, want %s", d, ok, earliest)
					}
					if err := bounded.Err(); err != nil {
						t.Errorf("at first: %v", err)
					}
					if waits {
						<-bounded.Done()
					} else {
						time.Sleep(c.want.after)
						synctest.Wait()
					}
					if err := bounded.Err(); !errors.Is(err, c.want.err) || time.Since(began) != c.want.after {
						t.Errorf("ended with %v after %s, want %v after %s", err, time.Since(began), c.want.err, c.want.after)
					}
				})
			})
		}
	}
}
