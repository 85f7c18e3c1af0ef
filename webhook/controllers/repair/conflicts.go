package repair

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"drey.dev/drey/webhook/flink"
)

// identitySelectors select the objects with an id or a platform namespace. No object matches
// two of them.
var identitySelectors = []string{
	flink.LabelDeploymentID,
	flink.LabelSessionClusterID + ",!" + flink.LabelDeploymentID,
	flink.LabelPlatformNamespace + ",!" + flink.LabelDeploymentID + ",!" + flink.LabelSessionClusterID,
}

const (
	// conflictRetries bounds the retries for a conflicting pod whose owners were not all found
	// before it is reported: about 30 seconds, in which the garbage collector deletes the pods
	// of a deleted owner.
	conflictRetries = 5

	ownerLookupTimeout = time.Second // per object
)

// errOwnersUnresolved means that an object conflicts, and that not all of its owners were
// found.
var errOwnersUnresolved = errors.New("not all owners were found")

// object identifies an object by kind, namespace and name.
type object struct {
	kind string
	cache.ObjectName
}

// findConflicts reports the objects of all namespaces that were created with an id or a
// platform namespace of another during an outage of drey. It lists metadata, and reads only
// the objects that may conflict. Pods go through their queue.
func (r *Repairer) findConflicts(ctx context.Context) error {
	var failed failures
	for o := range r.conflictsOf("Pod") { // repair removes deleted pods from the metric
		r.queues.Load().checks.Add(o.ObjectName)
	}
	failed.add(r.eachCandidate(ctx, podSource, func(o cache.ObjectName) error {
		r.queues.Load().checks.AddAfter(o, settleDelay)
		return nil
	}))
	for _, s := range sources {
		if s.metadataOnly {
			continue
		}
		resolved := r.conflictsOf(s.kind)
		err := r.eachCandidate(ctx, s, func(o cache.ObjectName) error {
			conflicts, err := r.reportConflict(ctx, s, o)
			if conflicts {
				delete(resolved, object{s.kind, o})
			}
			return err
		})
		if s.custom && (apierrors.IsNotFound(err) || apierrors.IsForbidden(err)) {
			continue
		}
		if err != nil {
			failed.add(err)
			continue
		}
		for o := range resolved {
			r.setConflict(o, false)
		}
	}
	return failed.err()
}

// eachCandidate calls visit for the objects of a kind whose metadata may conflict.
func (r *Repairer) eachCandidate(ctx context.Context, s source, visit func(cache.ObjectName) error) error {
	var failed failures
	for _, selector := range identitySelectors {
		_, err := r.list(ctx, s.resource, metav1.NamespaceAll, selector, func(o *metav1.PartialObjectMetadata) {
			if _, checked := r.checked.Get(o.UID); checked || o.DeletionTimestamp != nil || r.excluded(o.Namespace) || ctx.Err() != nil {
				return
			}
			lookup, cancel := context.WithTimeout(ctx, ownerLookupTimeout)
			defer cancel()
			may, err := r.o.Inspector.mayConflict(lookup, s, o)
			if err == nil && may {
				err = visit(cache.MetaObjectToName(o))
			}
			failed.add(err)
		})
		if err != nil {
			return fmt.Errorf("list %s: %w", s.resource.Resource, err)
		}
	}
	return failed.err()
}

// reportConflict decides on an object that creates pods, and reports a conflict. Without all
// owners it reports none: the object is about to be deleted, or the next scan finds them.
func (r *Repairer) reportConflict(ctx context.Context, s source, o cache.ObjectName) (conflicts bool, err error) {
	if err := r.limit.Wait(ctx); err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, labelTimeout)
	defer cancel()
	f, ok, err := r.o.Inspector.get(ctx, s, o.Namespace, o.Name)
	if err != nil || !ok {
		return false, err
	}
	v, conflicts := f.Conflict()
	if !conflicts || !f.ownersResolved {
		return conflicts, nil // a conflict that was reported before stays
	}
	r.setConflict(object{s.kind, o}, true)
	r.o.Observe(Event{Kind: s.kind, Namespace: o.Namespace, Name: o.Name, UID: string(f.UID), Verdict: v})
	return true, nil
}

// conflictsOf returns the objects of a kind that are known to conflict.
func (r *Repairer) conflictsOf(kind string) map[object]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	found := map[object]bool{}
	for o := range r.conflicts {
		if o.kind == kind {
			found[o] = true
		}
	}
	return found
}

// setConflict records whether an object conflicts, for the metric.
func (r *Repairer) setConflict(o object, conflicts bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if conflicts {
		r.conflicts[o] = true
	} else {
		delete(r.conflicts, o)
	}
}
