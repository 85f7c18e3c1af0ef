package owners

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/util/cache"
)

// lookups caches the results of reads from the API server, by kind, namespace and name, and
// limits how many run at once. A Deployment that drey has not labeled creates many pods within
// seconds, and its owners rarely change.
type lookups struct {
	cache *cache.LRUExpireCache
	slots chan struct{}
}

const (
	maxLookups           = 1024
	maxConcurrentLookups = 32
	lookupTTL            = 10 * time.Second
	replicaSetTTL        = time.Minute // the owner of a ReplicaSet changes only by orphaning or adoption
	notFoundTTL          = time.Second // the object may be created
)

func newLookups() *lookups {
	return &lookups{cache: cache.NewLRUExpireCache(maxLookups), slots: make(chan struct{}, maxConcurrentLookups)}
}

type lookupKey struct {
	kind            kind
	namespace, name string
}

type lookupResult struct {
	found *entry
	err   error
}

func (l *lookups) get(k kind, namespace, name string) (found *entry, err error, ok bool) {
	v, ok := l.cache.Get(lookupKey{k, namespace, name})
	if !ok {
		return nil, nil, false
	}
	result := v.(lookupResult)
	return result.found, result.err, true
}

func (l *lookups) add(k kind, namespace, name string, found *entry, err error) {
	ttl := lookupTTL
	switch {
	case err != nil:
		ttl = notFoundTTL
	case k == replicaSets:
		ttl = replicaSetTTL
	}
	l.cache.Add(lookupKey{k, namespace, name}, lookupResult{found, err}, ttl)
}

// acquire waits for a slot for a read from the API server, until ctx ends.
func (l *lookups) acquire(ctx context.Context) (release func(), err error) {
	select {
	case l.slots <- struct{}{}:
		return func() { <-l.slots }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
