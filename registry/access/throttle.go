package access

import (
	"crypto/sha256"
	"net/netip"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/utils/lru"
)

// Throttle counts failed attempts by where they come from, and remembers a
// bounded number of places.
type Throttle struct {
	clients *lru.Cache // of *rate.Limiter, by netip.Prefix
	good    *lru.Cache // hashes of tokens that were right when last shown
}

const (
	freely   = 10              // failures in a row that a client may have
	forgiven = 6 * time.Second // how long it takes to be forgiven one of them
	places   = 4096
	memory   = 4096 // tokens
)

// NewThrottle returns one that has seen nothing.
func NewThrottle() *Throttle { return &Throttle{lru.New(places), lru.New(memory)} }

// Succeeded remembers that a token was right. Who has it is not blocked for what
// others do at the same address, which may be a proxy's.
func (t *Throttle) Succeeded(token string) {
	t.good.Add(sha256.Sum256([]byte(token)), nil)
}

// Failed counts a failure of the client at a host:port.
func (t *Throttle) Failed(address, token string) {
	t.good.Remove(sha256.Sum256([]byte(token)))
	p := place(address)
	limiter, ok := t.clients.Get(p)
	if !ok {
		limiter = rate.NewLimiter(rate.Every(forgiven), freely)
		t.clients.Add(p, limiter)
	}
	limiter.(*rate.Limiter).Allow()
}

// Blocked tells whether a client has failed too often to be let try a token, and
// for how long.
func (t *Throttle) Blocked(address, token string) (time.Duration, bool) {
	if _, good := t.good.Get(sha256.Sum256([]byte(token))); good {
		return 0, false
	}
	limiter, ok := t.clients.Get(place(address))
	if !ok {
		return 0, false
	}
	if tokens := limiter.(*rate.Limiter).Tokens(); tokens < 1 {
		return time.Duration((1 - tokens) * float64(forgiven)), true
	}
	return 0, false
}

// place is the network that one client has all to itself: an address, or 64
// bits of an IPv6 one.
func place(address string) netip.Prefix {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return netip.Prefix{}
	}
	ip := ap.Addr().Unmap().WithZone("")
	bits := ip.BitLen()
	if ip.Is6() {
		bits = 64
	}
	p, _ := ip.Prefix(bits) // the number of bits is right
	return p
}
