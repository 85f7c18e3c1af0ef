package access

import (
	"crypto/sha256"
	"net/netip"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/utils/lru"
)

// Throttle limits failed authentications by network. Its memory is bounded.
type Throttle struct {
	clients *lru.Cache // of *rate.Limiter, by netip.Prefix
	valid   *lru.Cache // hashes of tokens that were valid when last used
}

const (
	burst          = 10              // failures in a row
	refillInterval = 6 * time.Second // of one failure
	maxNetworks    = 4096
	maxTokens      = 4096
)

// NewThrottle returns a Throttle without failures.
func NewThrottle() *Throttle { return &Throttle{lru.New(maxNetworks), lru.New(maxTokens)} }

// Succeeded records a valid token. It is not blocked for the failures of others at the same address,
// which may be that of a proxy.
func (t *Throttle) Succeeded(token string) {
	t.valid.Add(sha256.Sum256([]byte(token)), nil)
}

// Failed counts a failure of the client at host:port.
func (t *Throttle) Failed(address, token string) {
	t.valid.Remove(sha256.Sum256([]byte(token)))
	p := network(address)
	limiter, ok := t.clients.Get(p)
	if !ok {
		limiter = rate.NewLimiter(rate.Every(refillInterval), burst)
		t.clients.Add(p, limiter)
	}
	limiter.(*rate.Limiter).Allow()
}

// Blocked reports whether a client is blocked from trying a token, and for how long.
func (t *Throttle) Blocked(address, token string) (time.Duration, bool) {
	if _, ok := t.valid.Get(sha256.Sum256([]byte(token))); ok {
		return 0, false
	}
	limiter, ok := t.clients.Get(network(address))
	if !ok {
		return 0, false
	}
	if tokens := limiter.(*rate.Limiter).Tokens(); tokens < 1 {
		return time.Duration((1 - tokens) * float64(refillInterval)), true
	}
	return 0, false
}

// network returns the network of a client: an IPv4 address, or an IPv6 /64.
func network(address string) netip.Prefix {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return netip.Prefix{}
	}
	ip := ap.Addr().Unmap().WithZone("")
	bits := ip.BitLen()
	if ip.Is6() {
		bits = 64
	}
	p, _ := ip.Prefix(bits) // bits is valid
	return p
}
