package webhook

import (
	"net"
	"net/http"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/util/cache"
)

// refusals bounds how often a caller that has shown no client certificate is told why a
// write to the registry is refused: a refusal tells whether something of a name or an id
// is there. The API server is one of these callers unless it shows a certificate, so the
// limit is for each address: nobody uses up that of another.
type refusals struct{ callers *cache.LRUExpireCache }

const (
	refusalsPerSecond = 5
	refusalsAtOnce    = 50
	mostCallers       = 4096
	callerAge         = time.Minute // more than it takes to have refusalsAtOnce again
)

func newRefusals() *refusals { return &refusals{cache.NewLRUExpireCache(mostCallers)} }

// allow reports whether the sender of a request may be told of one more refusal.
func (l *refusals) allow(r *http.Request) bool {
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		return true
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	limiter, ok := l.callers.Get(host)
	if !ok {
		limiter = rate.NewLimiter(refusalsPerSecond, refusalsAtOnce)
	}
	l.callers.Add(host, limiter, callerAge) // two at once may each make one: a refusal more
	return limiter.(*rate.Limiter).Allow()
}
