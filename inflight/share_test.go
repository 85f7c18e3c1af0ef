package inflight

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// stalled is a body of which nothing comes before the context ends.
type stalled struct{ context.Context }

func (b stalled) Read([]byte) (int, error) { <-b.Done(); return 0, context.Cause(b) }

// heldBytes returns what requests hold of all pools.
func (b *Budget) heldBytes() (n int64) {
	for _, s := range []*semaphore{b.large.semaphore, b.small.semaphore, b.largeDecoded, b.smallDecoded} {
		n += s.size - s.free
	}
	return n
}

// TestShares: requests of one key wait for their own share, not those of others.
func TestShares(t *testing.T) {
	for pool, size := range map[string]int64{"large": 500_000, "small": Small} {
		t.Run(pool, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const most = 1 << 20
				b := New(Options{Large: Size{8 * 2 * (500_000 + 1), 2 << 20}, Reserved: Size{8 * 2 * (Small + 1), 1 << 20}, Timeout: time.Second})
				slow, quick := Share{"slow", 4}, Share{"quick", 4}
				ctx, cancel := context.WithCancel(t.Context())
				var wait sync.WaitGroup
				var busy atomic.Int32
				for range 20 { // 2 of which are within the share
					wait.Go(func() {
						r := b.Begin(slow, Share{"namespace", 2})
						_, err := r.Read(ctx, stalled{ctx}, size, most, nil)
						r.Release()
						if errors.Is(err, ErrBusy) {
							busy.Add(1)
						}
					})
					synctest.Wait()
				}
				read := func(s ...Share) (*Reservation, error) {
					r := b.Begin(s...)
					_, err := r.Read(t.Context(), strings.NewReader(strings.Repeat("x", int(size))), size, most, nil)
					return r, err
				}
				began := time.Now()
				for _, shares := range [][]Share{nil, {quick}, {quick, {"namespace", 2}}} {
					r, err := read(shares...)
					if err != nil || time.Since(began) != 0 {
						t.Errorf("a request of %v: %v after %s", shares, err, time.Since(began))
					}
					r.Release()
				}
				time.Sleep(2 * time.Second)
				if busy := busy.Load(); busy != 18 {
					t.Errorf("%d of 20 slow requests of one key got ErrBusy, want 18", busy)
				}
				cancel()
				wait.Wait()

				r, err := read(slow)
				if err != nil {
					t.Errorf("afterwards: %v", err)
				}
				if err := r.Grow(t.Context(), 2*size); err != nil {
					t.Errorf("what is decoded may exceed the share: %v", err)
				}
				if _, err := read(slow); !errors.Is(err, ErrBusy) {
					t.Errorf("beside one that exceeds the share: %v", err)
				}
				r.Release()
				if r, err = read(slow); err != nil {
					t.Errorf("after that: %v", err)
				}
				r.Release()
				if n := len(b.large.parts) + len(b.small.parts); n > 0 {
					t.Errorf("%d parts are left", n)
				}
				if n := b.heldBytes(); n > 0 {
					t.Errorf("%d bytes are held", n)
				}
			})
		})
	}
}

// TestBeyondShare: a body that grows beyond its share is rejected, without a wait, and one that
// waits for memory to decode gets ErrBusy at the timeout; what both held is free then.
func TestBeyondShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Options{Large: Size{8 << 20, 1 << 20}, Reserved: Size{1 << 20, 1 << 20}, Timeout: time.Second})
		read := func(n int, declared int64) (*Reservation, error) {
			r := b.Begin(Share{"a", 4})
			_, err := r.Read(t.Context(), strings.NewReader(strings.Repeat("x", n)), declared, 4<<20, nil)
			return r, err
		}
		began := time.Now()
		for _, declared := range []int64{3 << 20, -1} { // a share of the large pool is 2 MiB, and decoding takes as much again
			r, err := read(3<<20, declared)
			if !errors.Is(err, ErrTooLarge) || time.Since(began) != 0 {
				t.Errorf("declared %d: %v after %s", declared, err, time.Since(began))
			}
			r.Release()
		}
		holder, err := read(100, 100)
		if err != nil {
			t.Fatal(err)
		}
		if err := holder.Grow(t.Context(), 1<<20); err != nil {
			t.Fatal(err)
		}
		other, err := read(1<<17, 1<<17)
		if err != nil {
			t.Fatal(err)
		}
		if err := other.Grow(t.Context(), 1); !errors.Is(err, ErrBusy) || time.Since(began) != time.Second {
			t.Errorf("memory for what is decoded: %v after %s", err, time.Since(began))
		}
		other.Release()
		holder.Release()
		if n := b.heldBytes(); n > 0 {
			t.Errorf("%d bytes are held", n)
		}
		if r, err := read(1<<19, -1); err != nil {
			t.Errorf("afterwards: %v", err)
		} else {
			r.Release()
		}
	})
}

// TestRandomShares: whatever ends how, all is released.
func TestRandomShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Options{Large: Size{4 << 20, 2 << 20}, Reserved: Size{1 << 20, 1 << 20}, Timeout: time.Second})
		var wait sync.WaitGroup
		for i := range 500 {
			rng := rand.New(rand.NewPCG(1, uint64(i)))
			wait.Go(func() {
				time.Sleep(time.Duration(rng.IntN(3000)) * time.Millisecond)
				n := rng.IntN(300_000)
				declared := int64(-1)
				if rng.IntN(2) == 0 {
					declared = int64(n)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rng.IntN(2000))*time.Millisecond)
				defer cancel()
				r := b.Begin(Share{string(rune('a' + rng.IntN(3))), 4}, Share{"namespace", 2})
				defer r.Release()
				body := io.Reader(strings.NewReader(strings.Repeat("x", n)))
				if rng.IntN(3) == 0 {
					body = io.MultiReader(body, stalled{ctx})
				}
				if _, err := r.Read(ctx, body, declared, 1<<20, nil); err == nil {
					_ = r.Grow(ctx, int64(rng.IntN(1<<20)))
					time.Sleep(time.Duration(rng.IntN(100)) * time.Millisecond)
				}
			})
		}
		wait.Wait()
		if parts, bytes := len(b.large.parts)+len(b.small.parts), b.heldBytes(); parts > 0 || bytes > 0 {
			t.Errorf("%d parts are left, %d bytes are held", parts, bytes)
		}
	})
}
