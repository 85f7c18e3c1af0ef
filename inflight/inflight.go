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

// Options configure a budget.
type Options struct {
	Large    Size          // for bodies larger than Small, and for much that is decoded of a small one
	Reserved Size          // for all others
	Timeout  time.Duration // bounds the wait of an acquisition
}

// Size is the capacity for requests of a class, in bytes. Decoded objects have a separate pool,
// which avoids a deadlock: a request that waits for it holds its body, and its holders wait for
// nothing.
type Size struct {
	Bodies  int64
	Decoded int64
}

// Budget is the memory for bodies and for the objects decoded from them. Large bodies cannot
// take memory that is reserved for small ones.
type Budget struct {
	large, small               *pool // of bodies
	largeDecoded, smallDecoded *semaphore
	timeout                    time.Duration
}

// New returns a budget.
func New(o Options) *Budget {
	return &Budget{
		large: newPool(o.Large.Bodies), largeDecoded: newSemaphore(o.Large.Decoded),
		small: newPool(o.Reserved.Bodies), smallDecoded: newSemaphore(o.Reserved.Decoded),
		timeout: o.Timeout,
	}
}

// Reservation is the part of a budget that a request holds. Release returns it.
type Reservation struct {
	budget *Budget
	shares []Share
	from   *pool   // nil: nothing is held
	parts  []*part // of from, one for each share
	held   int64   // of from

	decodedFrom *semaphore // nil: nothing is held
	decoded     int64
}

// Begin returns an empty reservation for a request that counts to shares.
func (b *Budget) Begin(shares ...Share) *Reservation { return &Reservation{budget: b, shares: shares} }

// Release returns all that is held.
func (r *Reservation) Release() {
	if r.decodedFrom != nil {
		r.decodedFrom.release(r.decoded)
	}
	if r.from != nil {
		r.from.release(r.held)
		r.from.leave(r.parts, r.held+r.decoded)
	}
	r.from, r.parts, r.held, r.decodedFrom, r.decoded = nil, nil, 0, nil, 0
}

// Grow reserves n bytes for the objects decoded from a body. It is called once, after the body has
// been read. It waits at most the timeout of the budget, and may exceed the shares, so that later
// bodies wait. More than an eighth of the reserved pool is taken from the pool of large bodies.
// Its errors are [ErrBusy], and [ErrTooLarge] if n exceeds the pool.
func (r *Reservation) Grow(ctx context.Context, n int64) error {
	b, from := r.budget, r.budget.smallDecoded
	if r.from == b.large || n > from.size/8 {
		from = b.largeDecoded
	}
	if n > from.size {
		return ErrTooLarge
	}
	if err := b.acquire(ctx, from, nil, n); err != nil {
		return err
	}
	for _, p := range r.parts {
		p.exceed(n)
	}
	r.decodedFrom, r.decoded = from, n
	return nil
}

// extend reserves n bytes more, of the same pool and of the shares.
func (r *Reservation) extend(ctx context.Context, n int64) error {
	if r.held+n > r.from.least(r.parts) {
		return ErrTooLarge
	}
	if err := r.budget.acquire(ctx, r.from.semaphore, r.parts, n); err != nil {
		return err
	}
	r.held += n
	return nil
}

// move holds n bytes of another pool instead.
func (r *Reservation) move(ctx context.Context, to *pool, n int64) error {
	parts := to.enter(r.shares)
	err := ErrTooLarge
	if n <= to.least(parts) {
		err = r.budget.acquire(ctx, to.semaphore, parts, n)
	}
	if err != nil {
		to.leave(parts, 0)
		return err
	}
	r.Release()
	r.from, r.parts, r.held = to, parts, n
	return nil
}

// reserve extends the reservation to twice the size of a buffer: its content is decoded.
func (r *Reservation) reserve(ctx context.Context, buffer int64) error {
	pool := r.budget.small
	if buffer > Small+1 {
		pool = r.budget.large
	}
	if r.from != pool {
		return r.move(ctx, pool, 2*buffer)
	}
	return r.extend(ctx, max(0, 2*buffer-r.held))
}

// acquire acquires n of each part, then of a pool: a request that waits for its share
// holds nothing that others need.
func (b *Budget) acquire(ctx context.Context, from *semaphore, parts []*part, n int64) error {
	if len(parts) == 0 && from.try(n) {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, b.timeout, ErrBusy)
	defer cancel()
	for i, p := range parts {
		if err := p.acquire(ctx, n); err != nil {
			release(parts[:i], n)
			return err
		}
	}
	if err := from.acquire(ctx, n); err != nil {
		release(parts, n)
		return err
	}
	return nil
}

// Read reads a body to its end, into buffer if that is large enough, and reserves twice
// its size: decoding copies what it keeps. declared is the Content-Length, negative if
// there is none; the reservation of such a body grows with it. The errors are
// [ErrTooLarge] for a body of more than limit bytes, [ErrBusy], and those of the context
// and the reader. The reservation is never nil and is to be released even after an error.
func (b *Budget) Read(ctx context.Context, body io.Reader, declared, limit int64, buffer []byte) ([]byte, *Reservation, error) {
	r := b.Begin()
	buffer, err := r.Read(ctx, body, declared, limit, buffer)
	return buffer, r, err
}

// Read is [Budget.Read] of a request that counts to the shares of the reservation.
// [ErrTooLarge] also for a body that exceeds a share.
func (r *Reservation) Read(ctx context.Context, body io.Reader, declared, limit int64, buffer []byte) ([]byte, error) {
	if declared > limit {
		return buffer, ErrTooLarge
	}
	const initial = 16 << 10 // buffer for a body of unknown size
	want := declared + 1     // one more byte, to read EOF
	if declared < 0 {
		want = initial
	}
	for {
		if err := r.reserve(ctx, want); err != nil {
			return buffer, err
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
				return buffer, ErrTooLarge
			case errors.Is(err, io.EOF):
				return buffer, nil
			case err != nil:
				return buffer, err
			}
		}
		want = min(2*want, limit+1)
	}
}
