package webhook

import (
	"net"
	"net/http"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/util/cache"
)

// denialRate limits the denials of writes to the registry per client address, for clients
// without a client certificate: a denial reveals whether a name or an id exists. The API
// server may be such a client, so each address has a limit of its own.
type denialRate struct{ limiters *cache.LRUExpireCache }

const (
	denialsPerSecond = 5
	denialBurst      = 50
	maxLimiters      = 4096
	limiterTTL       = time.Minute // longer than a limiter takes to refill
)

func newDenialRate() *denialRate { return &denialRate{cache.NewLRUExpireCache(maxLimiters)} }

// allow reports whether the sender of a request may receive one more denial.
func (l *denialRate) allow(r *http.Request) bool {
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		return true
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	limiter, ok := l.limiters.Get(host)
	if !ok {
		limiter = rate.NewLimiter(denialsPerSecond, denialBurst)
	}
	l.limiters.Add(host, limiter, limiterTTL) // concurrent requests may each add one: a denial more
	return limiter.(*rate.Limiter).Allow()
}
