// Package inflight limits the memory of the request bodies that a server has in flight.
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

// Small is the size of the largest body that uses the reserved share, in bytes.
const Small = 64 << 10

// Options configure a budget, in bytes.
type Options struct {
	Large    int64         // for all bodies larger than Small
	Reserved int64         // for all other bodies
	Timeout  time.Duration // bounds the wait of an acquisition
}

// Budget is the memory for request bodies and their decoded form. Large bodies cannot use
// the share that is reserved for small ones.
type Budget struct {
	large, small *semaphore
	timeout      time.Duration
}

// New returns a budget.
func New(o Options) *Budget {
	return &Budget{newSemaphore(o.Large), newSemaphore(o.Reserved), o.Timeout}
}

// Reservation is the part of a budget that a request holds. Release returns it.
type Reservation struct {
	budget *Budget
	from   *semaphore // nil if nothing is held
	held   int64
}

// Release returns the held bytes. It may be called more than once.
func (r *Reservation) Release() {
	if r.from != nil {
		r.from.release(r.held)
	}
	r.from, r.held = nil, 0
}

// Grow reserves n more bytes of the same share. It returns [ErrBusy] after the timeout of
// the budget, and [ErrTooLarge] if the share is smaller than the reservation would be.
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

// move replaces the held bytes by n bytes of another share.
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

// reserve extends the reservation to twice the size of a buffer: its content is decoded.
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

// Read reads a body into buffer, which it reallocates if it is too small, and reserves
// twice the size, because decoding copies. declared is the Content-Length, or negative if
// it is unknown; then the reservation grows with the body. Errors are [ErrTooLarge] for a
// body of more than limit bytes, [ErrBusy], and those of the context and the reader. The
// reservation is never nil; release it after an error, too.
func (b *Budget) Read(ctx context.Context, body io.Reader, declared, limit int64, buffer []byte) ([]byte, *Reservation, error) {
	r := &Reservation{budget: b}
	if declared > limit {
		return buffer, r, ErrTooLarge
	}
	const initial = 16 << 10 // buffer for a body of unknown size
	want := declared + 1     // one more byte, to read EOF
	if declared < 0 {
		want = initial
	}
	for {
		if err := r.reserve(ctx, want); err != nil {
			return buffer, r, err
		}
		if int(want) > cap(buffer) {
			grown := make([]byte, len(buffer), want)
			copy(grown, buffer)
			buffer = grown
		}
		for len(buffer) < int(want) {
			n, err := body.Read(buffer[len(buffer):want])
			buffer = buffer[:len(buffer)+n]
			switch {
			case int64(len(buffer)) > limit:
				return buffer, r, ErrTooLarge
			case errors.Is(err, io.EOF):
				return buffer, r, nil
			case err != nil:
				return buffer, r, err
			}
		}
		want = min(2*want, limit+1)
	}
}
