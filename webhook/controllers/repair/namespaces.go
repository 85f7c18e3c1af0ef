package repair

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

const (
	// rescanDelay is the time from the repair of a pod to a scan of its namespace, so that
	// one scan serves many pods.
	rescanDelay = 5 * time.Second

	// clusterDelay lets the pods of a cluster appear after its first object.
	clusterDelay = 2 * time.Second

	// secondScanDelay is the time from the first scan to the second: after the first, the
	// API server may take a while until it calls the webhooks.
	secondScanDelay = time.Minute

	// ownerRetries is the number of retries for a Service or a ConfigMap whose owner has
	// no labels yet: about four minutes.
	ownerRetries = 8
)

// excluded reports whether a Kubernetes namespace is skipped.
func (r *Repairer) excluded(namespace string) bool {
	return slices.Contains(r.o.Inspector.Exclude, namespace)
}

// EnqueueNamespace queues a scan of a namespace that has a new target. It does nothing while
// the Repairer is not running, and does not block.
func (r *Repairer) EnqueueNamespace(namespace string) {
	if q := r.queues.Load(); q != nil {
		q.namespaces.Add(scan{namespace: namespace, pods: true})
	}
}

// EnqueueCluster queues a scan of a namespace with a new JobManager workload, whose
// identity the TaskManagers in workloads of their own share. It does nothing while the
// Repairer is not running, and does not block.
func (r *Repairer) EnqueueCluster(namespace string) {
	if q := r.queues.Load(); q != nil {
		q.namespaces.AddAfter(scan{namespace: namespace, pods: true}, clusterDelay)
	}
}

// scanPeriodically queues a scan of each namespace with a target, and one of all namespaces
// for conflicts, until ctx ends.
func (r *Repairer) scanPeriodically(ctx context.Context, q *queues) {
	next := min(secondScanDelay, r.o.Interval)
	for {
		if namespaces := r.o.Namespaces(); len(namespaces) >= together {
			q.namespaces.Add(scan{all: true})
		} else {
			for _, namespace := range namespaces {
				q.namespaces.Add(scan{namespace: namespace})
			}
		}
		q.namespaces.Add(scan{conflicts: true})
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait.Jitter(next, 0.2)):
			next = r.o.Interval
		}
	}
}

// processNextNamespace scans one namespace of the queue.
func (r *Repairer) processNextNamespace(ctx context.Context, q *queues) bool {
	next, shutdown := q.namespaces.Get()
	if shutdown {
		return false
	}
	defer q.namespaces.Done(next)
	switch err := r.scan(ctx, next, q.namespaces.NumRequeues(next) < ownerRetries); {
	case err == nil:
		q.namespaces.Forget(next)
	case ctx.Err() != nil:
		return false
	case next.conflicts:
		r.o.Log.Warn("cannot scan all objects for label conflicts: retrying with backoff", "error", err)
		q.namespaces.AddRateLimited(next)
	default:
		if !errors.Is(err, ErrChanged) && !errors.Is(err, errAwaitsOwner) {
			r.o.Log.Warn("namespace not repaired: it is retried", "namespace", next.namespace, "error", err)
		}
		q.namespaces.AddRateLimited(next)
	}
	return true
}

// rescan queues a scan of a namespace, which is joined with those of others.
func (r *Repairer) rescan(namespace string) {
	r.mu.Lock()
	r.due[namespace] = true
	r.mu.Unlock()
	r.queues.Load().namespaces.AddAfter(scan{due: true}, rescanDelay)
}

// takeDue returns the namespaces to scan again, and empties the set.
func (r *Repairer) takeDue() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	due := slices.Collect(maps.Keys(r.due))
	clear(r.due)
	return due
}

// scan labels the objects of namespaces that lack labels, and queues pods.
func (r *Repairer) scan(ctx context.Context, s scan, wait bool) error {
	namespaces := []string{s.namespace}
	switch {
	case s.conflicts:
		return r.findConflicts(ctx)
	case s.all:
		namespaces = r.o.Namespaces()
	case s.due:
		namespaces = r.takeDue()
	}
	namespaces = slices.DeleteFunc(namespaces, func(namespace string) bool { return r.excluded(namespace) || !r.o.HasTarget(namespace) })
	if len(namespaces) == 0 {
		return nil
	}
	var failed failures
	if s.pods {
		for _, selector := range selectors {
			if _, err := r.list(ctx, pods, s.namespace, selector, r.enqueue); err != nil {
				failed.add(fmt.Errorf("list pods: %w", err))
			}
		}
	}
	failed.add(r.o.Inspector.Unlabeled(ctx, namespaces, wait, func(f Finding) error { return r.label(ctx, f) }))
	if failed.err() != nil && s.due {
		r.mu.Lock()
		for _, namespace := range namespaces { // for the retry
			r.due[namespace] = true
		}
		r.mu.Unlock()
	}
	return failed.err()
}

// label labels an object other than a pod.
func (r *Repairer) label(ctx context.Context, f Finding) error {
	if err := r.limit.Wait(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, labelTimeout)
	defer cancel()
	if err := r.o.Inspector.Label(ctx, f); err != nil {
		if !errors.Is(err, ErrChanged) {
			r.metrics.failed.Inc()
		}
		return err
	}
	o := f.Verdict.Object()
	r.metrics.objects.WithLabelValues(o.Kind).Inc()
	r.o.Observe(Event{Kind: o.Kind, Namespace: o.Namespace, Name: o.Name, UID: string(f.UID), Labeled: f.Missing(), Verdict: f.Verdict})
	r.o.Log.Info("object repaired", "kind", o.Kind, "namespace", o.Namespace, "name", o.Name, "labels", len(f.Missing()))
	return nil
}
