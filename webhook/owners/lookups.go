package owners

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/util/cache"
)

// answers are those of the API server to what is not followed. They are kept
// briefly: a Deployment that drey has not labeled makes many pods at once, and
// its owners do not change.
type answers struct {
	recent *cache.LRUExpireCache
	turns  chan struct{}
}

const (
	mostAnswers   = 1024
	mostAtOnce    = 32
	answerAge     = 10 * time.Second
	replicaSetAge = time.Minute // the owner of a ReplicaSet changes only when it is orphaned, or adopted
	absenceAge    = time.Second // what is not there may come
)

func newAnswers() *answers {
	return &answers{recent: cache.NewLRUExpireCache(mostAnswers), turns: make(chan struct{}, mostAtOnce)}
}

type question struct {
	kind            kind
	namespace, name string
}

type answer struct {
	found *kept
	err   error
}

func (a *answers) get(k kind, namespace, name string) (*kept, error, bool) {
	v, ok := a.recent.Get(question{k, namespace, name})
	if !ok {
		return nil, nil, false
	}
	known := v.(answer)
	return known.found, known.err, true
}

func (a *answers) keep(k kind, namespace, name string, found *kept, err error) {
	age := answerAge
	switch {
	case err != nil:
		age = absenceAge
	case k == replicaSets:
		age = replicaSetAge
	}
	a.recent.Add(question{k, namespace, name}, answer{found, err}, age)
}

// turn waits for one of the places at which the API server may be asked.
func (a *answers) turn(ctx context.Context) (release func(), err error) {
	select {
	case a.turns <- struct{}{}:
		return func() { <-a.turns }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
