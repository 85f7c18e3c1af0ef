package repair

import (
	"context"
	"errors"
	"log/slog"
	"slices"
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

// Options are what a [Repairer] needs. Inspector, Pods, HasTarget, Namespaces and Log
// are required.
type Options struct {
	Inspector  *Inspector
	Pods       metadata.Interface                    // by which pods are followed
	HasTarget  func(kubernetesNamespace string) bool // whether what is there is to have labels
	Namespaces func() []string                       // the Kubernetes namespaces that have targets
	Observe    func(Event)                           // is told of what was done and found; must not wait; nil: nobody is
	PerSecond  float64                               // pods looked at, and objects labeled; 0 means 50
	Interval   time.Duration                         // between two scans of a namespace, with jitter; 0 means 30 minutes
	Log        *slog.Logger
	Metrics    prometheus.Registerer // nil: none are kept
}

// Event is something that people want to know of an object.
type Event struct {
	Kind            string
	Namespace, Name string
	UID             string
	Labeled         []verdict.Label // that were missing
	Verdict         verdict.Verdict
}

// Repairer labels what came while drey did not answer, or before its namespace had a
// target. It follows pods, and scans namespaces that have targets for the rest: when it
// starts, when a namespace gets a target, when a pod there had to be labeled, which shows
// that calls were missed, and at an interval. Run it in one process of a cluster.
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
	if o.Interval == 0 {
		o.Interval = 30 * time.Minute
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
	namespaces workqueue.TypedRateLimitingInterface[scan]
}

// scan is of one namespace.
type scan struct {
	namespace string
	pods      bool // those that were looked at lately, too
}

func newQueues() *queues {
	return &queues{
		pods:       workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[cache.ObjectName](time.Second, 5*time.Minute)),
		namespaces: workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[scan](time.Second, 5*time.Minute)),
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
	wait.Go(func() { r.scanRegularly(ctx, q) })
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
	e := Event{Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: string(f.UID), Verdict: f.Verdict}
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
		if slices.ContainsFunc(missing, func(l verdict.Label) bool { return l.Key == verdict.LabelSystem }) {
			r.queues.Load().namespaces.AddAfter(scan{namespace: pod.Namespace}, rescan) // more was missed than its job
		}
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
