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

// Options configure a [Repairer]. Inspector, Pods, HasTarget, Namespaces and Log are
// required.
type Options struct {
	Inspector  *Inspector
	Pods       metadata.Interface                    // lists and watches pods
	HasTarget  func(kubernetesNamespace string) bool // whether Flink in the namespace is labeled
	Namespaces func() []string                       // the Kubernetes namespaces that have targets
	Observe    func(Event)                           // receives repairs and misplaced pods; must not block; may be nil
	PerSecond  float64                               // pods checked and objects labeled; 0 means 200
	Interval   time.Duration                         // between two scans of a namespace, jittered; 0 means 30 minutes
	Log        *slog.Logger
	Metrics    prometheus.Registerer // may be nil
}

// Event reports an object that was labeled, or that is misplaced.
type Event struct {
	Kind            string
	Namespace, Name string
	UID             string
	Labeled         []verdict.Label // that were added; if empty, Verdict denies
	Verdict         verdict.Verdict
}

// Repairer is the controller that labels objects created while drey was down, or before
// their namespace had a target. It watches pods, and scans namespaces with targets for the
// rest: at its start, when a namespace gets a target, after the repair of a pod there,
// which shows that calls were missed, and periodically. Run it in the leader.
type Repairer struct {
	o       Options
	limit   *rate.Limiter          // of pods to label, and of other objects
	checks  *rate.Limiter          // of pods that drey has labeled
	queues  atomic.Pointer[queues] // of the current run; nil while the Repairer is not running
	metrics metrics

	checked   *utilcache.LRUExpireCache // uids of pods that need no repair
	mu        sync.Mutex
	unlabeled map[cache.ObjectName]bool // pods that lack labels
	conflicts map[object]bool           // objects with the id or the platform namespace of another
	due       map[string]bool           // namespaces to scan again
}

// New returns a Repairer that is not running.
func New(o Options) *Repairer {
	if o.PerSecond == 0 {
		o.PerSecond = perSecond
	}
	if o.Interval == 0 {
		o.Interval = 30 * time.Minute
	}
	if o.Observe == nil {
		o.Observe = func(Event) {}
	}
	r := &Repairer{
		o: o, limit: newLimit(o.PerSecond), checks: newLimit(min(o.PerSecond, checksPerSecond)), metrics: newMetrics(o.Metrics),
		checked: utilcache.NewLRUExpireCache(checkedSize), unlabeled: make(map[cache.ObjectName]bool),
		conflicts: make(map[object]bool), due: make(map[string]bool),
	}
	r.metrics.observe(r)
	return r
}

func newLimit(perSecond float64) *rate.Limiter {
	return rate.NewLimiter(rate.Limit(perSecond), int(max(perSecond, 1)))
}

// queues hold the work of one run.
type queues struct {
	pods       workqueue.TypedRateLimitingInterface[cache.ObjectName] // that lack drey's labels
	checks     workqueue.TypedRateLimitingInterface[cache.ObjectName] // that drey has labeled, of which a label may be missing or wrong
	namespaces workqueue.TypedRateLimitingInterface[scan]
}

// scan is the work on one namespace or on several, or the search for conflicts in all.
type scan struct {
	namespace string
	pods      bool // include pods that were checked recently
	all       bool // all namespaces with targets
	due       bool // those of Repairer.due
	conflicts bool
}

func newQueues() *queues {
	return &queues{
		pods:       newQueue[cache.ObjectName]("drey-repair"),
		checks:     newQueue[cache.ObjectName]("drey-repair-checks"),
		namespaces: newQueue[scan]("drey-repair-scans"),
	}
}

func newQueue[T comparable](name string) workqueue.TypedRateLimitingInterface[T] {
	return workqueue.NewTypedRateLimitingQueueWithConfig(
		workqueue.NewTypedItemExponentialFailureRateLimiter[T](time.Second, 5*time.Minute), workqueue.TypedRateLimitingQueueConfig[T]{Name: name})
}

// drain empties a queue that is shut down, so that its workqueue_depth returns to 0.
func drain[T comparable](q workqueue.TypedRateLimitingInterface[T]) {
	for item, shutdown := q.Get(); !shutdown; item, shutdown = q.Get() {
		q.Done(item)
	}
}

const (
	// checkedSize bounds the number of pods in the cache of checked ones.
	checkedSize = 10_000

	// specTTL is the time for which a pod that is not Flink is not checked again: its
	// spec does not change.
	specTTL = time.Hour

	// jobTTL is the time for which a pod without missing labels is not checked again: its
	// job id may become known.
	jobTTL = time.Minute

	// perSecond is the default of Options.PerSecond. A pod takes a read and a patch, each of
	// which has a client-side limit of the same rate.
	perSecond = 200

	// checksPerSecond bounds the reads of pods that drey has labeled, of which each new leader
	// checks those without a job id.
	checksPerSecond = 50

	// podWorkers is the number of pods that are repaired concurrently. It bounds the share of a
	// slow API server.
	podWorkers = 8

	// yieldInterval is the interval in which a worker of checks sees whether there are pods to label.
	yieldInterval = 100 * time.Millisecond

	// labelTimeout bounds the repair of one object.
	labelTimeout = 10 * time.Second
)

// Run repairs until ctx ends. The next run finds the work that is left, since all state is
// in the cluster.
func (r *Repairer) Run(ctx context.Context) {
	q := newQueues()
	r.queues.Store(q)
	r.mu.Lock()
	clear(r.unlabeled)
	clear(r.conflicts)
	clear(r.due)
	r.mu.Unlock()
	var wait sync.WaitGroup
	defer func() {
		wait.Wait()
		r.queues.Store(nil)
		drain(q.pods)
		drain(q.checks)
		drain(q.namespaces)
	}()
	for _, selector := range selectors {
		wait.Go(func() { r.watchPods(ctx, selector) })
	}
	wait.Go(func() { r.scanPeriodically(ctx, q) })
	wait.Go(func() {
		for r.processNextNamespace(ctx, q) {
		}
	})
	for range podWorkers {
		wait.Go(func() {
			for r.processNextPod(ctx, q.pods, r.limit, func() bool { return false }) {
			}
		})
	}
	wait.Go(func() {
		for r.processNextPod(ctx, q.checks, r.checks, func() bool { return q.pods.Len() > 0 }) {
		}
	})
	<-ctx.Done()
	q.pods.ShutDown()
	q.checks.ShutDown()
	q.namespaces.ShutDown()
}

// processNextPod repairs one pod of a queue, once it need not yield to another.
func (r *Repairer) processNextPod(ctx context.Context, q workqueue.TypedRateLimitingInterface[cache.ObjectName], limit *rate.Limiter, yields func() bool) bool {
	pod, shutdown := q.Get()
	if shutdown {
		return false
	}
	defer q.Done(pod)
	for yields() {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(yieldInterval):
		}
	}
	if err := limit.Wait(ctx); err != nil {
		return false
	}
	switch err := r.repair(ctx, pod, q.NumRequeues(pod) < conflictRetries); {
	case err == nil:
		q.Forget(pod)
	case ctx.Err() != nil:
		return false
	default:
		if !errors.Is(err, ErrChanged) && !errors.Is(err, errOwnersUnresolved) {
			r.metrics.failed.Inc()
			r.o.Log.Warn("pod not repaired: it is retried", "namespace", pod.Namespace, "name", pod.Name, "error", err)
		}
		q.AddRateLimited(pod)
	}
	return true
}

// repair labels a pod, or reports it. With retryOwners, it returns errOwnersUnresolved for a
// conflict of a pod whose owners were not all found.
func (r *Repairer) repair(ctx context.Context, pod cache.ObjectName, retryOwners bool) error {
	ctx, cancel := context.WithTimeout(ctx, labelTimeout)
	defer cancel()
	f, ok, err := r.o.Inspector.Pod(ctx, pod.Namespace, pod.Name)
	if err != nil {
		return err
	}
	if !ok {
		r.setUnlabeled(pod, false)
		r.setConflict(object{"Pod", pod}, false)
		return nil
	}
	conflict, conflicts := f.Conflict()
	if conflicts && !f.ownersResolved && retryOwners {
		return errOwnersUnresolved
	}
	r.setConflict(object{"Pod", pod}, conflicts)
	missing := f.Missing()
	r.setUnlabeled(pod, len(missing) > 0)
	e := Event{Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: string(f.UID), Verdict: f.Verdict}
	switch {
	case !f.Verdict.Workload().Recognized():
		r.checked.Add(f.UID, true, specTTL)
	case len(missing) == 0:
		r.checked.Add(f.UID, true, jobTTL)
	}
	if conflicts {
		e.Verdict = conflict
	}
	if f.Misplaced() || conflicts {
		r.o.Observe(e)
	}
	if len(missing) > 0 {
		if err := r.o.Inspector.Label(ctx, f); err != nil {
			return err
		}
		r.setUnlabeled(pod, false)
		r.metrics.repaired.Inc()
		if slices.ContainsFunc(missing, func(l verdict.Label) bool { return l.Key == verdict.LabelSystem }) {
			r.rescan(pod.Namespace) // admission missed the pod, and perhaps more
		}
		e.Labeled, e.Verdict = missing, f.Verdict
		r.o.Observe(e)
		r.o.Log.Info("pod repaired", "namespace", pod.Namespace, "name", pod.Name, "labels", len(missing))
	}
	return nil
}

func (r *Repairer) setUnlabeled(pod cache.ObjectName, unlabeled bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if unlabeled {
		r.unlabeled[pod] = true
	} else {
		delete(r.unlabeled, pod)
	}
}
