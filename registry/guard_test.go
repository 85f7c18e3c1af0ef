package registry

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestGuard: a writer is alone, and waiting ends with the context.
func TestGuard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuard()
		writers, readers := 0, 0
		var mu sync.Mutex
		var wait sync.WaitGroup
		for i := range 200 {
			wait.Go(func() {
				time.Sleep(time.Duration(i%7) * time.Millisecond)
				enter, count := g.share, &readers
				if i%5 == 0 {
					enter, count = g.lock, &writers
				}
				unlock, err := enter(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if *count++; writers > 1 || writers == 1 && readers > 0 {
					t.Errorf("%d writers and %d readers at once", writers, readers)
				}
				mu.Unlock()
				time.Sleep(time.Millisecond)
				mu.Lock()
				*count--
				mu.Unlock()
				unlock()
			})
		}
		wait.Wait()

		for name, hold := range map[string]func(context.Context) (func(), error){"lock": g.lock, "share": g.share} {
			unlock, err := hold(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			began := time.Now()
			if _, err := g.lock(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
				t.Errorf("beside a %s: %v after %s", name, err, time.Since(began))
			}
			cancel()
			unlock()
			if unlock, err = g.lock(t.Context()); err != nil {
				t.Fatal(err)
			}
			unlock()
		}
	})
}
