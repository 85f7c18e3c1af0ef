// Package inflight bounds the memory of the request bodies that a server has in flight.
package inflight

import (
	"context"
	"errors"
	"io"
	"time"
)

// Errors of a [Budget].
var (
	ErrBusy     = errors.New("the budget for requests in flight is exhausted")
	ErrTooLarge = errors.New("the request is larger than the budget for it")
)

// Small is the size up to which a body draws on the reserved share, in bytes.
const Small = 64 << 10

// Options size a budget, in bytes of memory.
type Options struct {
	Large    int64         // for bodies larger than Small, together
	Reserved int64         // for all others, together
	Timeout  time.Duration // of an acquisition
}

// Budget is the memory for bodies, and for what is decoded of them. Large bodies cannot
// take the share that is reserved for small ones.
type Budget struct {
	large, small *semaphore
	timeout      time.Duration
}

// New makes a budget.
func New(o Options) *Budget {
	return &Budget{newSemaphore(o.Large), newSemaphore(o.Reserved), o.Timeout}
}

// Reservation is the part of a budget that a request holds. Release returns it.
type Reservation struct {
	budget *Budget
	from   *semaphore // nil: nothing is held
	held   int64
}

// Release returns all that is held.
func (r *Reservation) Release() {
	if r.from != nil {
		r.from.release(r.held)
	}
	r.from, r.held = nil, 0
}

// Grow reserves n bytes more, of the same share. It waits no longer than the timeout of
// the budget. Its errors are [ErrBusy], and [ErrTooLarge] for what the share never has.
func (r *Reservation) Grow(ctx context.Context, n int64) error {
	if r.held+n > r.from.size {
		return ErrTooLarge
	}
	if err := r.budget.acquire(ctx, r.from, n); err != nil {
		return err
	}
	r.held += n
	return nil
}

// move holds n bytes of another share instead.
func (r *Reservation) move(ctx context.Context, to *semaphore, n int64) error {
	if n > to.size {
		return ErrTooLarge
	}
	if err := r.budget.acquire(ctx, to, n); err != nil {
		return err
	}
	r.Release()
	r.from, r.held = to, n
	return nil
}

// reserve has the reservation cover a buffer, and as many bytes that are decoded from it.
func (r *Reservation) reserve(ctx context.Context, buffer int64) error {
	share := r.budget.small
	if buffer > Small+1 {
		share = r.budget.large
	}
	if r.from != share {
		return r.move(ctx, share, 2*buffer)
	}
	return r.Grow(ctx, max(0, 2*buffer-r.held))
}

func (b *Budget) acquire(ctx context.Context, from *semaphore, n int64) error {
	if from.try(n) {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, b.timeout, ErrBusy)
	defer cancel()
	return from.acquire(ctx, n)
}

// Read reads a body to its end, into buffer if that is large enough, and reserves twice
// its size: decoding copies what it keeps. declared is the Content-Length, negative if
// there is none; the reservation of such a body grows with it. The errors are
// [ErrTooLarge] for a body of more than most bytes, [ErrBusy], and those of the context
// and the reader. The reservation is never nil and is to be released even after an error.
func (b *Budget) Read(ctx context.Context, body io.Reader, declared, most int64, buffer []byte) ([]byte, *Reservation, error) {
	r := &Reservation{budget: b}
	if declared > most {
		return buffer, r, ErrTooLarge
	}
	const first = 16 << 10 // of a body of unknown size
	want := declared + 1   // one more, to read the end
	if declared < 0 {
		want = first
	}
	for {
		if err := r.reserve(ctx, want); err != nil {
			return buffer, r, err
		}
		if more := int(want) - len(buffer); more > 0 && int(want) > cap(buffer) {
			exact := make([]byte, len(buffer), want)
			copy(exact, buffer)
			buffer = exact
		}
		for len(buffer) < int(want) {
			n, err := body.Read(buffer[len(buffer):want])
			buffer = buffer[:len(buffer)+n]
			switch {
			case int64(len(buffer)) > most:
				return buffer, r, ErrTooLarge
			case errors.Is(err, io.EOF):
				return buffer, r, nil
			case err != nil:
				return buffer, r, err
			}
		}
		want = min(2*want, most+1)
	}
}
