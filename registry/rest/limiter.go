package rest

import (
	"fmt"
	"net/http"
	"sync"

	"drey.dev/drey/inflight"
)

// limiter limits the requests in flight, whose bodies and responses take memory: all, and those
// of each share, so that one slow client does not exhaust the limit.
type limiter struct {
	limit int

	mu    sync.Mutex
	total int
	byKey map[string]int // by the key of a share
}

func newLimiter(limit int) *limiter { return &limiter{limit: limit, byKey: make(map[string]int)} }

// acquire counts a request against the limit and against each share until release is called.
// Beyond a limit it returns a 429.
func (l *limiter) acquire(shares ...inflight.Share) (release func(), resp response, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.total >= l.limit {
		resp, err = tooManyRequests("%d requests are in flight, which is the limit: try again in a second", l.limit)
		return nil, resp, err
	}
	for _, s := range shares {
		if limit := max(1, l.limit/s.Parts); l.byKey[s.Key] >= limit {
			resp, err = tooManyRequests("%d requests of %s are in flight, which is the limit: try again in a second", limit, s.Key)
			return nil, resp, err
		}
	}
	l.total++
	for _, s := range shares {
		l.byKey[s.Key]++
	}
	return func() { l.release(shares) }, response{}, nil
}

func (l *limiter) release(shares []inflight.Share) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total--
	for _, s := range shares {
		if l.byKey[s.Key]--; l.byKey[s.Key] == 0 {
			delete(l.byKey, s.Key)
		}
	}
}

func tooManyRequests(format string, args ...any) (response, error) {
	return response{header: http.Header{"Retry-After": {"1"}}}, &problem{http.StatusTooManyRequests, ReasonTooManyRequests, fmt.Sprintf(format, args...)}
}
