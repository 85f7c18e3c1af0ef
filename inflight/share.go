package inflight

import "sync"

// Share limits the requests of one key together to 1/Parts of each pool, so that one slow sender
// cannot exhaust the budget.
type Share struct {
	Key   string
	Parts int
}

// pool is a semaphore of bytes with a semaphore for each share that is in use.
type pool struct {
	*semaphore

	mu    sync.Mutex
	parts map[Share]*part
}

// part is the semaphore of one share in a pool.
type part struct {
	*semaphore
	share   Share
	holders int // under the pool's mu
}

func newPool(size int64) *pool {
	return &pool{semaphore: newSemaphore(size), parts: make(map[Share]*part)}
}

// enter returns the parts of shares, and holds them until leave.
func (p *pool) enter(shares []Share) []*part {
	if len(shares) == 0 {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	parts := make([]*part, 0, len(shares))
	for _, s := range shares {
		if p.parts[s] == nil {
			p.parts[s] = &part{newSemaphore(p.size / int64(s.Parts)), s, 0}
		}
		p.parts[s].holders++
		parts = append(parts, p.parts[s])
	}
	return parts
}

// leave releases n of each part, and drops parts without holders.
func (p *pool) leave(parts []*part, n int64) {
	if len(parts) == 0 {
		return
	}
	release(parts, n)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, part := range parts {
		if part.holders--; part.holders == 0 {
			delete(p.parts, part.share)
		}
	}
}

// least is the most that a request may hold of the pool and of all parts.
func (p *pool) least(parts []*part) int64 {
	n := p.size
	for _, part := range parts {
		n = min(n, part.size)
	}
	return n
}

func release(parts []*part, n int64) {
	for _, part := range parts {
		part.release(n)
	}
}
