package repair

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
	utilcache "k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"

	"drey.dev/drey/webhook/verdict"
)

// Options are what a [Repairer] needs. Inspector, Pods and Log are required.
type Options struct {
	Inspector *Inspector
	Pods      metadata.Interface                    // by which pods are followed
	HasTarget func(kubernetesNamespace string) bool // whether pods there are to have labels
	Observe   func(Event)                           // is told of what was done and found; must not wait; nil: nobody is
	PerSecond float64                               // pods looked at; 0 means 50
	Log       *slog.Logger
	Metrics   prometheus.Registerer // nil: none are kept
}

// Event is something that people want to know of a pod.
type Event struct {
	Namespace, Name string
	UID             string
	Labeled         []verdict.Label // that were missing
	Verdict         verdict.Verdict
}

// Repairer labels pods that came while drey did not answer, or before their
// namespace had a target. Run it in one process of a cluster.
type Repairer struct {
	o       Options
	limit   *rate.Limiter
	queues  atomic.Pointer[queues] // of the present run, or the one before
	metrics metrics

	looked    *utilcache.LRUExpireCache // uids of pods that have nothing to be repaired
	mu        sync.Mutex
	unlabeled map[cache.ObjectName]bool // known to lack labels, and not labeled yet
}

// New makes a Repairer, which does nothing before it is run.
func New(o Options) *Repairer {
	if o.PerSecond == 0 {
		o.PerSecond = 50
	}
	if o.Observe == nil {
		o.Observe = func(Event) {}
	}
	r := &Repairer{
		o: o, limit: rate.NewLimiter(rate.Limit(o.PerSecond), int(max(o.PerSecond, 1))), metrics: newMetrics(o.Metrics),
		looked: utilcache.NewLRUExpireCache(mostLooked), unlabeled: make(map[cache.ObjectName]bool),
	}
	r.queues.Store(newQueues())
	r.metrics.follow(r)
	return r
}

// queues are what is to be done.
type queues struct {
	pods       workqueue.TypedRateLimitingInterface[cache.ObjectName]
	namespaces workqueue.TypedRateLimitingInterface[string]
}

func newQueues() *queues {
	return &queues{
		pods:       workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[cache.ObjectName](time.Second, 5*time.Minute)),
		namespaces: workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[string](time.Second, time.Minute)),
	}
}

// mostLooked bounds what is remembered of pods that need nothing.
const mostLooked = 10_000

// atOnce is how many pods are looked at at the same time.
const atOnce = 4

// Run repairs until ctx ends. What was not done by then is found again by the next
// run: nothing is kept but in the cluster.
func (r *Repairer) Run(ctx context.Context) {
	q := newQueues()
	r.queues.Store(q)
	r.mu.Lock()
	clear(r.unlabeled)
	r.mu.Unlock()
	var wait sync.WaitGroup
	defer wait.Wait()
	for _, selector := range selectors {
		wait.Go(func() { r.follow(ctx, selector) })
	}
	wait.Go(func() {
		for r.nextNamespace(ctx, q) {
		}
	})
	for range atOnce {
		wait.Go(func() {
			for r.next(ctx, q) {
			}
		})
	}
	<-ctx.Done()
	q.pods.ShutDown()
	q.namespaces.ShutDown()
}

// next repairs one pod of the queue.
func (r *Repairer) next(ctx context.Context, q *queues) bool {
	pod, over := q.pods.Get()
	if over {
		return false
	}
	defer q.pods.Done(pod)
	if err := r.limit.Wait(ctx); err != nil {
		return false
	}
	switch err := r.repair(ctx, pod); {
	case err == nil:
		q.pods.Forget(pod)
	case ctx.Err() != nil:
		return false
	default:
		if !errors.Is(err, ErrChanged) {
			r.metrics.failed.Inc()
			r.o.Log.Warn("pod not repaired: it is tried again", "namespace", pod.Namespace, "name", pod.Name, "error", err)
		}
		q.pods.AddRateLimited(pod)
	}
	return true
}

func (r *Repairer) repair(ctx context.Context, pod cache.ObjectName) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	f, ok, err := r.o.Inspector.Pod(ctx, pod.Namespace, pod.Name)
	if err != nil {
		return err
	}
	if !ok {
		r.note(pod, false)
		return nil
	}
	missing := f.Missing()
	r.note(pod, len(missing) > 0)
	e := Event{Namespace: pod.Namespace, Name: pod.Name, UID: string(f.UID), Verdict: f.Verdict}
	switch {
	case !f.Verdict.Workload().Recognized():
		r.looked.Add(f.UID, true, time.Hour) // its spec stays as it is
	case len(missing) == 0:
		r.looked.Add(f.UID, true, time.Minute) // its job may become known
	}
	switch {
	case f.Misplaced():
		r.o.Observe(e)
	case len(missing) > 0:
		if err := r.o.Inspector.Label(ctx, f); err != nil {
			return err
		}
		r.note(pod, false)
		r.metrics.repaired.Inc()
		e.Labeled = missing
		r.o.Observe(e)
		r.o.Log.Info("pod repaired", "namespace", pod.Namespace, "name", pod.Name, "labels", len(missing))
	}
	return nil
}

func (r *Repairer) note(pod cache.ObjectName, unlabeled bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if unlabeled {
		r.unlabeled[pod] = true
	} else {
		delete(r.unlabeled, pod)
	}
}

// Registered has the pods of a namespace looked at that has a target now. It does not
// wait.
func (r *Repairer) Registered(namespace string) { r.queues.Load().namespaces.Add(namespace) }

// nextNamespace looks at the pods of one namespace.
func (r *Repairer) nextNamespace(ctx context.Context, q *queues) bool {
	namespace, over := q.namespaces.Get()
	if over {
		return false
	}
	defer q.namespaces.Done(namespace)
	for _, selector := range selectors {
		if _, err := r.list(ctx, namespace, selector, r.foundAnew); err != nil && ctx.Err() == nil {
			r.o.Log.Warn("pods of a namespace that has a target now cannot be listed: it is tried again", "namespace", namespace, "error", err)
			q.namespaces.AddRateLimited(namespace)
			return true
		}
	}
	q.namespaces.Forget(namespace)
	return true
}
