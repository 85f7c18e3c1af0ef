package inflight_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"drey.dev/drey/inflight"
)

const most = 1 << 20

func newBudget() *inflight.Budget {
	return inflight.New(inflight.Options{Large: 4 << 20, Reserved: 1 << 20, Timeout: time.Second})
}

func read(t *testing.T, b *inflight.Budget, n int, declared int64) (*inflight.Reservation, error) {
	t.Helper()
	text := bytes.Repeat([]byte("x"), n)
	got, r, err := b.Read(t.Context(), bytes.NewReader(text), declared, most, nil)
	if err == nil && !bytes.Equal(got, text) {
		t.Errorf("%d bytes came as %d", n, len(got))
	}
	if declared > 0 && cap(got) > int(declared)+1 {
		t.Errorf("a body of %d bytes has a buffer of %d", declared, cap(got))
	}
	return r, err
}

// TestRead: bodies of all sizes arrive whole, or are refused for their size.
func TestRead(t *testing.T) {
	b := newBudget()
	for _, n := range []int{0, 1, 100, 16<<10 - 1, 16 << 10, inflight.Small, inflight.Small + 1, inflight.Small + 2, 500_000, most - 1, most} {
		for _, declared := range []int64{int64(n), -1} {
			r, err := read(t, b, n, declared)
			if err != nil {
				t.Errorf("%d bytes, declared as %d: %v", n, declared, err)
			}
			r.Release()
		}
	}
	for _, declared := range []int64{most + 1, -1} {
		r, err := read(t, b, most+1, declared)
		if !errors.Is(err, inflight.ErrTooLarge) {
			t.Errorf("a body that is too large, declared as %d: %v", declared, err)
		}
		r.Release()
	}
	_, r, err := b.Read(t.Context(), io.MultiReader(strings.NewReader("a"), iotest.ErrReader(io.ErrUnexpectedEOF)), 10, most, nil)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a body that breaks off: %v", err)
	}
	r.Release()
}

// TestBusy: large bodies wait for the budget, and time out. Small ones do not wait for
// them.
func TestBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget()
		first, err := read(t, b, most-1, most-1)
		if err != nil {
			t.Fatal(err)
		}
		second, err := read(t, b, most-1, -1)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for _, declared := range []int64{most - 1, -1} {
			r, err := read(t, b, most-1, declared)
			if !errors.Is(err, inflight.ErrBusy) {
				t.Errorf("a third, declared as %d: %v", declared, err)
			}
			r.Release()
		}
		if waited := time.Since(began); waited != 2*time.Second {
			t.Errorf("they waited for %s", waited)
		}
		small, err := read(t, b, inflight.Small, inflight.Small)
		if err != nil {
			t.Errorf("a small one: %v", err)
		}
		small.Release()
		time.AfterFunc(500*time.Millisecond, second.Release)
		third, err := read(t, b, most-1, most-1)
		if err != nil {
			t.Errorf("once there is room: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		_, gone, err := b.Read(ctx, bytes.NewReader(nil), most-1, most, nil)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("a client that is gone: %v", err)
		}
		gone.Release()
		third.Release()
		first.Release()
	})
}

// TestGrow: a reservation grows within its share.
func TestGrow(t *testing.T) {
	b := newBudget()
	r, err := read(t, b, 10, 10)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Grow(t.Context(), 1<<20); !errors.Is(err, inflight.ErrTooLarge) {
		t.Errorf("beyond its share: %v", err)
	}
	if err := r.Grow(t.Context(), 1<<19); err != nil {
		t.Error(err)
	}
	r.Release()
	if err := errors.Join(fill(t, b, inflight.Small, 8), fill(t, b, most-1, 2)); err != nil {
		t.Errorf("what was released is not free: %v", err)
	}
}

// fill holds n bodies at once.
func fill(t *testing.T, b *inflight.Budget, size, n int) error {
	t.Helper()
	for range n - 1 {
		r, err := read(t, b, size-1, int64(size-1))
		defer r.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// TestAtOnce: whatever comes at once, all is free in the end.
func TestAtOnce(t *testing.T) {
	b := inflight.New(inflight.Options{Large: 4 << 20, Reserved: 1 << 20, Timeout: time.Millisecond})
	var wait sync.WaitGroup
	for i := range 8 {
		random := rand.New(rand.NewPCG(uint64(i), 1))
		wait.Go(func() {
			for range 200 {
				n := random.IntN(most)
				declared := int64(n)
				if random.IntN(2) == 0 {
					declared = -1
				}
				_, r, err := b.Read(t.Context(), bytes.NewReader(make([]byte, n)), declared, most, nil)
				if err != nil && !errors.Is(err, inflight.ErrBusy) {
					t.Error(err)
				}
				r.Release()
			}
		})
	}
	wait.Wait()
	if err := errors.Join(fill(t, b, inflight.Small, 8), fill(t, b, most-1, 3)); err != nil {
		t.Errorf("what was released is not free: %v", err)
	}
}
