package kubestore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/util/workqueue"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/kubestore/internal/codec"
	v1 "drey.dev/drey/registry/kubestore/v1"
)

// ReportStatus keeps the status of the objects up to date until ctx ends. It writes only what
// differs. Run it in one process of a cluster, the leader: the caches of several differ for
// moments, and each would revert the others' writes.
//
// It needs the right to update the status of the objects.
func (s *Store) ReportStatus(ctx context.Context) {
	r := newStatusReporter(s)
	s.mu.Lock()
	s.enqueueStatus = r.enqueue
	for uid := range s.records {
		r.enqueue(uid)
	}
	s.mu.Unlock()
	r.run(ctx)
	s.mu.Lock()
	s.enqueueStatus = nil
	s.mu.Unlock()
}

// statusReporter writes the statuses of queued objects.
type statusReporter struct {
	store *Store
	queue workqueue.TypedRateLimitingInterface[uuid.UUID]
}

const (
	statusDelay      = 100 * time.Millisecond // coalesces bursts of changes into one write
	minStatusBackoff = 100 * time.Millisecond
	maxStatusBackoff = time.Minute

	// statusWorkers is the number of statuses that are written at a time. Each takes a read and a
	// write, which share the client-side limit with the registry's own requests.
	statusWorkers = 4
)

func newStatusReporter(s *Store) *statusReporter {
	return &statusReporter{s, workqueue.NewTypedRateLimitingQueueWithConfig(
		workqueue.NewTypedItemExponentialFailureRateLimiter[uuid.UUID](minStatusBackoff, maxStatusBackoff), workqueue.TypedRateLimitingQueueConfig[uuid.UUID]{Name: "drey-target-status"})}
}

func (r *statusReporter) enqueue(uid uuid.UUID) { r.queue.AddAfter(uid, statusDelay) }

func (r *statusReporter) run(ctx context.Context) {
	context.AfterFunc(ctx, r.queue.ShutDown)
	var workers sync.WaitGroup
	for range statusWorkers {
		workers.Go(func() {
			for r.processNext(ctx) {
			}
		})
	}
	workers.Wait()
}

func (r *statusReporter) processNext(ctx context.Context) bool {
	uid, shutdown := r.queue.Get()
	if shutdown {
		return false
	}
	defer r.queue.Done(uid)
	if err := r.reconcile(ctx, uid); err != nil && ctx.Err() == nil {
		r.store.log.WarnContext(ctx, "status not written", "error", err)
		r.queue.AddRateLimited(uid)
	} else {
		r.queue.Forget(uid)
	}
	return true
}

// reconcile writes an object's status if it is outdated.
func (r *statusReporter) reconcile(ctx context.Context, uid uuid.UUID) error {
	rec, want, observed := r.desired(uid)
	if rec == nil {
		return nil
	}
	o, err := r.store.getByName(ctx, rec.Resource, rec.platform, rec.objectName())
	if errors.Is(err, registry.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if o.uid != uid || o.version != rec.version {
		return nil // the watch delivers the change, which enqueues the object again
	}
	before := readyCondition(o.Status(o.object)).DeepCopy()
	want.apply(o.Resource, o.object)
	observed.apply(o.object)
	written := false
	err = r.store.call(ctx, fmt.Sprintf("update the status of %s %s/%s", rec.Plural, rec.platform, rec.objectName()), func(ctx context.Context) error {
		err := r.store.request("PUT").Namespace(rec.platform).Resource(rec.Plural).Name(rec.objectName()).SubResource("status").Body(o.object).Do(ctx).Error()
		if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
			return nil // the watch delivers the change, which enqueues the object again
		}
		written = err == nil
		return err
	})
	if written && r.store.options.RecordEvent != nil {
		r.recordEvent(o.object, before, readyCondition(o.Status(o.object)))
	}
	return err
}

// recordEvent records an event when a target becomes not ready, or ready again.
func (r *statusReporter) recordEvent(o codec.Object, before, after *metav1.Condition) {
	if _, ok := o.(*v1.DeploymentTarget); !ok || after == nil {
		return
	}
	isNew := before == nil && after.Reason == v1.NamespaceNotServed // passes within a second for most new targets
	lost := after.Status != metav1.ConditionTrue && (before == nil || before.Reason != after.Reason) && !isNew
	regained := after.Status == metav1.ConditionTrue && before != nil && before.Status != metav1.ConditionTrue
	if !lost && !regained {
		return
	}
	eventType := corev1.EventTypeWarning
	if regained {
		eventType = corev1.EventTypeNormal
	}
	regarding := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: o.GetNamespace(), Name: o.GetName(), UID: o.GetUID()}}
	regarding.SetGroupVersionKind(v1.GroupVersion.WithKind("DeploymentTarget"))
	r.store.options.RecordEvent(regarding, eventType, after.Reason, after.Message)
}

func readyCondition(s *v1.Status) *metav1.Condition {
	return meta.FindStatusCondition(s.Conditions, v1.Ready)
}

// desired returns a record whose status is outdated, with the desired status; nil if it is not.
func (r *statusReporter) desired(uid uuid.UUID) (*record, statusFacts, observedFacts) {
	c := r.store.objectCache
	c.mu.RLock()
	defer c.mu.RUnlock()
	rec := c.records[uid]
	if rec == nil || rec.terminating || c.received[registry.Namespace] == 0 {
		return nil, statusFacts{}, observedFacts{}
	}
	want := statusFacts{observed: true, name: rec.name(), ready: c.ready(rec)}
	if rec.shown {
		want.id = rec.shownID().String()
	}
	if rec.target != nil {
		n := c.countReferences(rec)
		want.references, want.referenced = count{n, true}, referenced(n, rec.platform)
	}
	observed := r.observe(rec)
	if want.sum() == rec.status && (observed == observedFacts{} || observed.sum() == rec.observed) {
		return nil, want, observed
	}
	return rec, want, observed
}

// observe returns the facts about the workloads of an object. The zero value means unknown: the
// status is not changed.
func (r *statusReporter) observe(rec *record) (observed observedFacts) {
	o := r.store.options
	switch {
	case !rec.shown:
	case hasState(rec.Kind) && o.Observer != nil:
		observed.state = string(registry.StatusOf(rec.view(rec.shownID()), o.Observer).State)
	case rec.target != nil && o.CountWorkloads != nil:
		if workloads, pods, ok := o.CountWorkloads(rec.platform, rec.name()); ok {
			observed.workloads, observed.pods = count{workloads, true}, count{pods, true}
		}
	}
	return observed
}

// hasState reports whether the status of a kind has the field state.
func hasState(kind registry.Kind) bool {
	return kind == registry.Deployment || kind == registry.SessionCluster
}

// workloadState returns the field status.state of a Deployment or SessionCluster, else nil.
func workloadState(o codec.Object) *string {
	switch o := o.(type) {
	case *v1.Deployment:
		return &o.Status.State
	case *v1.SessionCluster:
		return &o.Status.State
	}
	return nil
}

// StateChanged updates the status of the Deployment or SessionCluster with an id, in the
// process that runs [Store.ReportStatus]; "": of all.
func (s *Store) StateChanged(id string) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.enqueueStatus == nil {
		return
	}
	if id == "" {
		for uid, rec := range s.records {
			if hasState(rec.Kind) {
				s.enqueueStatus(uid)
			}
		}
		return
	}
	for rec := range s.ids.of(parseUID(id)) {
		s.enqueueStatus(rec.uid)
	}
}

// WorkloadsChanged updates the status of the target with a name in REST, in the process that runs
// [Store.ReportStatus].
func (s *Store) WorkloadsChanged(platformNamespace, target string) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.enqueueStatus == nil {
		return
	}
	for rec := range s.named(registry.Key{Kind: registry.DeploymentTarget, Namespace: platformNamespace, Name: target}) {
		s.enqueueStatus(rec.uid)
	}
}

// Readiness returns the condition Ready of the target with a name in REST, from the cache; false
// if there is none.
func (s *Store) Readiness(platformNamespace, target string) (registry.Readiness, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	rec := s.owner(registry.Key{Kind: registry.DeploymentTarget, Namespace: platformNamespace, Name: target})
	if rec == nil {
		return registry.Readiness{}, false
	}
	c := s.ready(rec)
	return registry.Readiness{Ready: c.status == metav1.ConditionTrue, Reason: c.reason, Message: c.message}, true
}

// ready returns the condition Ready of a record.
func (c *objectCache) ready(rec *record) conditionFacts {
	if !rec.shown {
		return conditionFacts{metav1.ConditionFalse, v1.NameTaken, c.nameTaken(rec), true}
	}
	if n := c.targetNotReady(rec); n != (notReady{}) {
		return conditionFacts{metav1.ConditionFalse, n.reason, n.message, true}
	}
	message := "the REST API serves it"
	if name := c.targetNamespace(rec); name != "" {
		message = fmt.Sprintf("Flink may run in Kubernetes namespace %q", name)
	}
	return conditionFacts{metav1.ConditionTrue, v1.Registered, message, true}
}

// nameTaken is the message for an object whose name in REST another object owns.
func (c *objectCache) nameTaken(rec *record) string {
	owner := c.owner(registry.Key{Kind: rec.Kind, Namespace: rec.platform, Name: rec.name()})
	if owner == nil {
		return "the object is terminating"
	}
	return fmt.Sprintf("not registered: %s.drey.dev %s is older and has the name %q in REST: delete one of the two", rec.Plural, owner.objectName(), rec.name())
}

// referenced returns the condition Referenced of a target.
func referenced(count int32, namespace string) conditionFacts {
	if count == 0 {
		return conditionFacts{metav1.ConditionFalse, v1.NotReferenced, "no Deployment or SessionCluster of drey refers to it", true}
	}
	return conditionFacts{metav1.ConditionTrue, v1.InUse, "Deployments or SessionClusters of drey refer to it: kubectl get vdep,vsc -n " + namespace, true}
}

// countReferences returns the number of objects that refer to a target, by name or by id. A
// target that REST does not show has none.
func (c *objectCache) countReferences(rec *record) int32 {
	if !rec.shown {
		return 0
	}
	return int32(c.references[reference{namespace: rec.platform, name: rec.name()}] + //nolint:gosec // no cluster holds 2^31 objects
		c.references[reference{namespace: rec.platform, id: rec.shownID().String()}])
}

// WrittenReadiness reads the condition Ready in the status of the targets, as a drey wrote it, by
// their name in REST.
func (s *Store) WrittenReadiness(ctx context.Context) (map[registry.Key]registry.Readiness, error) {
	r, namespace := codec.Resources[registry.DeploymentTarget], s.options.PlatformNamespace
	into := r.NewList()
	err := s.call(ctx, "list "+r.Plural, func(ctx context.Context) error {
		return s.request("GET").NamespaceIfScoped(namespace, namespace != "").Resource(r.Plural).VersionedParams(&metav1.ListOptions{ResourceVersion: "0"}, metav1.ParameterCodec).Do(ctx).Into(into)
	})
	if err != nil {
		return nil, err
	}
	all := map[registry.Key]registry.Readiness{}
	err = meta.EachListItem(into, func(item runtime.Object) error {
		o := item.(codec.Object)
		rec := newRecord(r, o)
		if c := meta.FindStatusCondition(r.Status(o).Conditions, v1.Ready); c != nil && c.Reason != v1.NameTaken {
			all[registry.Key{Kind: rec.Kind, Namespace: rec.platform, Name: rec.name()}] = registry.Readiness{Ready: c.Status == metav1.ConditionTrue, Reason: c.Reason, Message: c.Message}
		}
		return nil
	})
	return all, err
}
