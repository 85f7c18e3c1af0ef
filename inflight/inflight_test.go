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

const limit = 1 << 20

var options = inflight.Options{
	Large:    inflight.Size{Bodies: 4 << 20, Decoded: 2 << 20},
	Reserved: inflight.Size{Bodies: 1 << 20, Decoded: 1 << 20},
	Timeout:  time.Second,
}

func newBudget() *inflight.Budget {
	return inflight.New(options)
}

func read(t *testing.T, b *inflight.Budget, n int, declared int64) (*inflight.Reservation, error) {
	t.Helper()
	text := bytes.Repeat([]byte("x"), n)
	got, r, err := b.Read(t.Context(), bytes.NewReader(text), declared, limit, nil)
	if err == nil && !bytes.Equal(got, text) {
		t.Errorf("read %d bytes as %d", n, len(got))
	}
	if declared > 0 && cap(got) > int(declared)+1 {
		t.Errorf("a body of %d bytes has a buffer of %d", declared, cap(got))
	}
	return r, err
}

// TestRead: bodies up to the limit are read completely, larger ones are rejected.
func TestRead(t *testing.T) {
	b := newBudget()
	for _, n := range []int{0, 1, 100, 16<<10 - 1, 16 << 10, inflight.Small, inflight.Small + 1, inflight.Small + 2, 500_000, limit - 1, limit} {
		for _, declared := range []int64{int64(n), -1} {
			r, err := read(t, b, n, declared)
			if err != nil {
				t.Errorf("%d bytes, declared as %d: %v", n, declared, err)
			}
			r.Release()
		}
	}
	for _, declared := range []int64{limit + 1, -1} {
		r, err := read(t, b, limit+1, declared)
		if !errors.Is(err, inflight.ErrTooLarge) {
			t.Errorf("body over the limit, declared as %d: %v", declared, err)
		}
		r.Release()
	}
	_, r, err := b.Read(t.Context(), io.MultiReader(strings.NewReader("a"), iotest.ErrReader(io.ErrUnexpectedEOF)), 10, limit, nil)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("truncated body: %v", err)
	}
	r.Release()
}

// TestBusy: large bodies wait for the budget until the timeout. Small bodies do not wait.
func TestBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget()
		first, err := read(t, b, limit-1, limit-1)
		if err != nil {
			t.Fatal(err)
		}
		second, err := read(t, b, limit-1, -1)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for _, declared := range []int64{limit - 1, -1} {
			r, err := read(t, b, limit-1, declared)
			if !errors.Is(err, inflight.ErrBusy) {
				t.Errorf("third body, declared as %d: %v", declared, err)
			}
			r.Release()
		}
		if waited := time.Since(began); waited != 2*time.Second {
			t.Errorf("waited for %s", waited)
		}
		small, err := read(t, b, inflight.Small, inflight.Small)
		if err != nil {
			t.Errorf("small body: %v", err)
		}
		small.Release()
		time.AfterFunc(500*time.Millisecond, second.Release)
		third, err := read(t, b, limit-1, limit-1)
		if err != nil {
			t.Errorf("after a release: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		_, gone, err := b.Read(ctx, bytes.NewReader(nil), limit-1, limit, nil)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("canceled request: %v", err)
		}
		gone.Release()
		third.Release()
		first.Release()
	})
}

// TestGrow: what is decoded has at most the memory of its pool, and is released.
func TestGrow(t *testing.T) {
	b := newBudget()
	r, err := read(t, b, 10, 10)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Grow(t.Context(), 2<<20+1); !errors.Is(err, inflight.ErrTooLarge) {
		t.Errorf("more than the pool has: %v", err)
	}
	for range 3 {
		if err := r.Grow(t.Context(), 2<<20); err != nil {
			t.Error(err)
		}
		r.Release()
		if r, err = read(t, b, 10, 10); err != nil {
			t.Fatal(err)
		}
	}
	r.Release()
	if err := errors.Join(fill(t, b, inflight.Small, 8), fill(t, b, limit-1, 2)); err != nil {
		t.Errorf("released bytes are not free: %v", err)
	}
}

// TestGrowTogether: small bodies of which much is decoded take neither the memory for others
// nor wait for each other until the timeout, although they exceed the budget together.
func TestGrowTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget()
		var wait sync.WaitGroup
		request := func(size int, decoded int64, lasts time.Duration) {
			wait.Go(func() {
				r, err := read(t, b, size, int64(size))
				defer r.Release()
				if err == nil {
					time.Sleep(time.Millisecond) // the others have been read
					err = r.Grow(t.Context(), decoded)
				}
				if err != nil {
					t.Errorf("of %d bytes, %d decoded: %v", size, decoded, err)
				}
				time.Sleep(lasts)
			})
		}
		for range 6 { // of at most 7
			request(inflight.Small, 2<<20, 100*time.Millisecond)
		}
		time.Sleep(50 * time.Millisecond)
		began := time.Now()
		r, err := read(t, b, 10<<10, 10<<10)
		if err == nil {
			err = r.Grow(t.Context(), 100<<10)
		}
		if took := time.Since(began); err != nil || took > 0 {
			t.Errorf("a small body beside them: %v after %s", err, took)
		}
		r.Release()
		wait.Wait()
		for range 40 { // more than fit, of which little is decoded
			request(inflight.Small, 1<<17, 10*time.Millisecond)
		}
		wait.Wait()
	})
}

// fill reads n bodies without releasing them in between.
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

// TestConcurrentReads: after concurrent reads the whole budget is free.
func TestConcurrentReads(t *testing.T) {
	o := options
	o.Timeout = time.Millisecond
	b := inflight.New(o)
	var wait sync.WaitGroup
	for i := range 8 {
		random := rand.New(rand.NewPCG(uint64(i), 1))
		wait.Go(func() {
			for range 200 {
				n := random.IntN(limit)
				declared := int64(n)
				if random.IntN(2) == 0 {
					declared = -1
				}
				_, r, err := b.Read(t.Context(), bytes.NewReader(make([]byte, n)), declared, limit, nil)
				if err != nil && !errors.Is(err, inflight.ErrBusy) {
					t.Error(err)
				}
				r.Release()
			}
		})
	}
	wait.Wait()
	if err := errors.Join(fill(t, b, inflight.Small, 8), fill(t, b, limit-1, 3)); err != nil {
		t.Errorf("released bytes are not free: %v", err)
	}
}
