package certs

import (
	"context"
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// lead calls reconcile at the time that it returned, after every event, and with backoff
// after an error, until ctx ends.
func lead(ctx context.Context, r *replica, reconcile func(context.Context) (time.Time, error)) error {
	changed := r.subscribe()
	delay := initialBackoff
	for {
		next, err := reconcile(ctx)
		pause := min(time.Until(next), time.Minute) // the clock may be set back
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, errConflict):
			pause, delay = initialBackoff, initialBackoff
		case err != nil:
			pause, delay = wait.Jitter(delay, 0.5), min(2*delay, maxBackoff)
			r.log.Error("reconcile certificates: will retry", "error", err, "in", pause)
		default:
			delay = initialBackoff
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		case <-changed:
			// Coalesce events: one change often is several writes.
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(initialBackoff):
			}
		}
	}
}

// Backoff after an error.
const (
	initialBackoff = 100 * time.Millisecond
	maxBackoff     = 10 * time.Second
)
