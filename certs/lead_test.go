package certs

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

// TestLeadRetries: after an error the next attempt is delayed by 100 ms to 10 s, plus jitter up
// to half as much; a success or a conflict resets the delay.
func TestLeadRetries(t *testing.T) {
	errFailed := errors.New("connection refused")
	const far = 365 * 24 * time.Hour
	run := func(t *testing.T, d time.Duration, reconcile func(attempt int, r *replica) (time.Duration, error)) (delays []time.Duration) {
		ctx, cancel := context.WithTimeout(t.Context(), d)
		defer cancel()
		r := newReplica(Options{Log: slog.New(slog.DiscardHandler)}, nil, 0, "", nil, 0)
		began, last := time.Now(), time.Now()
		attempt := -1
		err := lead(ctx, r, func(context.Context) (time.Time, error) {
			if attempt++; attempt > 0 {
				delays = append(delays, time.Since(last))
			}
			last = time.Now()
			next, err := reconcile(attempt, r)
			return last.Add(next), err
		})
		if err != nil || time.Since(began) != d {
			t.Errorf("ended after %s of %s: %v", time.Since(began), d, err)
		}
		return delays
	}
	within := func(t *testing.T, delay, least time.Duration) {
		t.Helper()
		if delay < least || delay > least*3/2 {
			t.Errorf("a delay of %s, want %s and jitter", delay, least)
		}
	}
	for rule, do := range map[string]func(*testing.T){
		"exponential backoff with jitter": func(t *testing.T) {
			delays := run(t, 5*time.Minute, func(int, *replica) (time.Duration, error) { return 0, errFailed })
			least, exact := initialBackoff, 0
			for _, delay := range delays {
				within(t, delay, least)
				if delay == least {
					exact++
				}
				least = min(2*least, maxBackoff)
			}
			if len(delays) < 20 || exact > 1 {
				t.Errorf("%d delays, %d of them without jitter: %s", len(delays), exact, delays)
			}
		},
		"success": func(t *testing.T) {
			delays := run(t, 5*time.Minute, func(attempt int, _ *replica) (time.Duration, error) {
				if attempt == 5 {
					return far, nil
				}
				return 0, errFailed
			})
			within(t, delays[4], 16*initialBackoff)
			if delays[5] != time.Minute { // the clock may be set back
				t.Errorf("after a success: %s", delays[5])
			}
			within(t, delays[6], initialBackoff)
		},
		"conflict": func(t *testing.T) {
			delays := run(t, time.Minute, func(attempt int, _ *replica) (time.Duration, error) {
				if attempt == 5 {
					return 0, errConflict
				}
				return 0, errFailed
			})
			if delays[5] != initialBackoff {
				t.Errorf("after a conflict: %s", delays[5])
			}
			within(t, delays[6], initialBackoff)
		},
		"event during the backoff": func(t *testing.T) {
			delays := run(t, time.Minute, func(attempt int, r *replica) (time.Duration, error) {
				if attempt == 6 {
					time.AfterFunc(time.Second, r.notify)
				}
				return 0, errFailed
			})
			if delays[6] != time.Second+initialBackoff {
				t.Errorf("after an event: %s", delays[6])
			}
		},
		"endless events": func(t *testing.T) {
			delays := run(t, time.Minute, func(_ int, r *replica) (time.Duration, error) {
				r.notify()
				return far, nil
			})
			if len(delays) > int(time.Minute/initialBackoff) {
				t.Errorf("%d attempts in a minute", len(delays))
			}
		},
	} {
		t.Run(rule, func(t *testing.T) { synctest.Test(t, do) })
	}
}
