package denials

import (
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/time/rate"
	"k8s.io/utils/lru"
)

const (
	// Retention is how long a denial is kept after its last occurrence.
	Retention = 7 * 24 * time.Hour

	maxDenials      = 1000 // in the document
	maxPerNamespace = 100

	// Of new denials; repeated ones only count.
	senderPerSecond, senderBurst       = 5, 100
	namespacePerSecond, namespaceBurst = 2, 50
	maxLimiters                        = 4096
)

// limits limit the new denials of each sender and each namespace.
type limits struct{ senders, namespaces *lru.Cache }

func newLimits() limits { return limits{lru.New(maxLimiters), lru.New(maxLimiters)} }

func (l limits) allow(sender, namespace string, now time.Time) bool {
	return (sender == "" || allow(l.senders, sender, senderPerSecond, senderBurst, now)) &&
		allow(l.namespaces, namespace, namespacePerSecond, namespaceBurst, now)
}

func allow(limiters *lru.Cache, key string, perSecond rate.Limit, burst int, now time.Time) bool {
	limiter, ok := limiters.Get(key)
	if !ok {
		limiter = rate.NewLimiter(perSecond, burst)
		limiters.Add(key, limiter)
	}
	return limiter.(*rate.Limiter).AllowN(now, 1)
}

// The limits of texts, in bytes. A review may be forged, and messages quote its labels.
const (
	maxName    = 253
	maxMessage = 2048
	maxGroups  = 16
)

// truncated returns a denial with texts of bounded length.
func (d Denial) truncated() Denial {
	for _, text := range []*string{&d.User, &d.Kind, &d.Namespace, &d.Name, &d.Owner.Kind, &d.Owner.Name, &d.Owner.UID, &d.Operation, &d.PlatformNamespace, &d.Reason, &d.Mode} {
		*text = Truncate(*text, maxName)
	}
	d.Message, d.Remedy = Truncate(d.Message, maxMessage), Truncate(d.Remedy, maxMessage)
	groups := d.Groups
	d.Groups = nil
	for _, g := range groups[:min(len(groups), maxGroups)] {
		d.Groups = append(d.Groups, Truncate(g, maxName))
	}
	return d
}

// Truncate returns valid UTF-8 of at most limit bytes, which ends in "..." if it is cut.
func Truncate(text string, limit int) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= limit {
		return text
	}
	end := limit - len("...")
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "..."
}
