package repair

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

const (
	// rescan is how long after a pod was labeled its namespace is scanned: one scan
	// serves many pods.
	rescan = 5 * time.Second

	// clusterDelay lets the pods of a cluster come that is made by one manifest.
	clusterDelay = 2 * time.Second

	// startRescan is when the namespaces are scanned once more after the first scan: the
	// API server may call the webhooks a moment later than that.
	startRescan = time.Minute

	// ownerTries is how often a Service or a ConfigMap is left for the next try, for its
	// owner has no labels yet: about four minutes.
	ownerTries = 8
)

// excluded tells whether a Kubernetes namespace is left alone.
func (r *Repairer) excluded(namespace string) bool {
	return slices.Contains(r.o.Inspector.Exclude, namespace)
}

// Registered has a namespace looked at that has a target now. It does not wait.
func (r *Repairer) Registered(namespace string) {
	r.queues.Load().namespaces.Add(scan{namespace, true})
}

// ClusterCame has the pods of a namespace looked at once more: the TaskManagers in a
// workload of their own take the identity of their JobManager's, which has come now. It
// does not wait.
func (r *Repairer) ClusterCame(namespace string) {
	r.queues.Load().namespaces.AddAfter(scan{namespace, true}, clusterDelay)
}

// scanRegularly has all namespaces scanned that have targets, until ctx ends.
func (r *Repairer) scanRegularly(ctx context.Context, q *queues) {
	next := min(startRescan, r.o.Interval)
	for {
		for _, namespace := range r.o.Namespaces() {
			q.namespaces.Add(scan{namespace: namespace})
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait.Jitter(next, 0.2)):
			next = r.o.Interval
		}
	}
}

// nextNamespace scans one namespace of the queue.
func (r *Repairer) nextNamespace(ctx context.Context, q *queues) bool {
	next, over := q.namespaces.Get()
	if over {
		return false
	}
	defer q.namespaces.Done(next)
	switch err := r.scan(ctx, next, q.namespaces.NumRequeues(next) < ownerTries); {
	case err == nil:
		q.namespaces.Forget(next)
	case ctx.Err() != nil:
		return false
	default:
		if !errors.Is(err, ErrChanged) && !errors.Is(err, errEarly) {
			r.o.Log.Warn("namespace not repaired: it is tried again", "namespace", next.namespace, "error", err)
		}
		q.namespaces.AddRateLimited(next)
	}
	return true
}

// scan labels what of a namespace lacks labels. Pods go into their own queue.
func (r *Repairer) scan(ctx context.Context, s scan, wait bool) error {
	if r.excluded(s.namespace) || !r.o.HasTarget(s.namespace) {
		return nil
	}
	var failed failures
	if s.pods {
		for _, selector := range selectors {
			if _, err := r.list(ctx, s.namespace, selector, r.foundAnew); err != nil {
				failed.add(fmt.Errorf("list pods: %w", err))
			}
		}
	}
	failed.add(r.o.Inspector.Unlabeled(ctx, s.namespace, wait, func(f Finding) error { return r.label(ctx, f) }))
	return failed.err()
}

// label labels an object that is no pod.
func (r *Repairer) label(ctx context.Context, f Finding) error {
	if err := r.limit.Wait(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
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
