package rest

import (
	"fmt"
	"net/http"
	"sync"

	"drey.dev/drey/inflight"
)

// places bounds the requests that are under way, whose bodies and answers are in
// memory: of all, and of those that share something, so that one slow client
// cannot hold up the others.
type places struct {
	most int

	mu    sync.Mutex
	taken int
	held  map[string]int // by the key of a share
}

func newPlaces(most int) *places { return &places{most: most, held: make(map[string]int)} }

// take takes a place, of all and of each share, or answers 429. It is held until
// leave is called.
func (p *places) take(shares ...inflight.Share) (leave func(), a answer, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taken >= p.most {
		a, err = tooMany("%d requests are under way, the most that drey answers at once: try again in a second", p.most)
		return nil, a, err
	}
	for _, s := range shares {
		if most := max(1, p.most/s.Parts); p.held[s.Key] >= most {
			a, err = tooMany("%d requests of %s are under way, the most that drey answers at once of one: try again in a second", most, s.Key)
			return nil, a, err
		}
	}
	p.taken++
	for _, s := range shares {
		p.held[s.Key]++
	}
	return func() { p.leave(shares) }, answer{}, nil
}

func (p *places) leave(shares []inflight.Share) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken--
	for _, s := range shares {
		if p.held[s.Key]--; p.held[s.Key] == 0 {
			delete(p.held, s.Key)
		}
	}
}

func tooMany(format string, args ...any) (answer, error) {
	return answer{header: http.Header{"Retry-After": {"1"}}}, &problem{http.StatusTooManyRequests, ReasonTooManyRequests, fmt.Sprintf(format, args...)}
}
