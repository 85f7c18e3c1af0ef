package kubestore

import (
	"context"
	"fmt"
	"reflect"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
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

// statusReporter writes the status of one object after the other.
type statusReporter struct {
	store *Store
	queue workqueue.TypedRateLimitingInterface[types.UID]
}

const (
	statusDelay      = 100 * time.Millisecond // coalesces bursts of changes into one write
	minStatusBackoff = 100 * time.Millisecond
	maxStatusBackoff = time.Minute
)

func newStatusReporter(s *Store) *statusReporter {
	return &statusReporter{s, workqueue.NewTypedRateLimitingQueueWithConfig(
		workqueue.NewTypedItemExponentialFailureRateLimiter[types.UID](minStatusBackoff, maxStatusBackoff), workqueue.TypedRateLimitingQueueConfig[types.UID]{Name: "drey-target-status"})}
}

func (r *statusReporter) enqueue(uid types.UID) { r.queue.AddAfter(uid, statusDelay) }

func (r *statusReporter) run(ctx context.Context) {
	context.AfterFunc(ctx, r.queue.ShutDown)
	for {
		uid, shutdown := r.queue.Get()
		if shutdown {
			return
		}
		if err := r.reconcile(ctx, uid); err != nil && ctx.Err() == nil {
			r.store.log.WarnContext(ctx, "status not written", "error", err)
			r.queue.AddRateLimited(uid)
		} else {
			r.queue.Forget(uid)
		}
		r.queue.Done(uid)
	}
}

// reconcile writes an object's status if it is outdated.
func (r *statusReporter) reconcile(ctx context.Context, uid types.UID) error {
	o, res, before := r.desired(uid)
	if o == nil {
		return nil
	}
	written := false
	err := r.store.call(ctx, fmt.Sprintf("update the status of %s %s/%s", res.Plural, o.GetNamespace(), o.GetName()), func(ctx context.Context) error {
		err := r.store.request("PUT").Namespace(o.GetNamespace()).Resource(res.Plural).Name(o.GetName()).SubResource("status").Body(o).Do(ctx).Error()
		if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
			return nil // the watch delivers the change, which enqueues the object again
		}
		written = err == nil
		return err
	})
	if written && r.store.options.RecordEvent != nil {
		r.recordEvent(o, before, readyCondition(res.Status(o)))
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

// desired returns an object with its desired status, or nil if it has that; and its present
// condition Ready, nil if it has none.
func (r *statusReporter) desired(uid types.UID) (o codec.Object, res *codec.Resource, before *metav1.Condition) {
	c := r.store.objectCache
	c.mu.RLock()
	defer c.mu.RUnlock()
	rec := c.records[uid]
	if rec == nil || rec.object.GetDeletionTimestamp() != nil || c.received[registry.Namespace] == 0 {
		return nil, nil, nil
	}
	o = rec.object.DeepCopyObject().(codec.Object)
	s := rec.Status(o)
	s.ObservedGeneration = o.GetGeneration()
	s.Name = rec.view.Metadata.Name
	s.ID = ""
	if rec.shown != nil {
		s.ID = rec.shown.Metadata.ID
	}
	if state := workloadState(o); state != nil && rec.shown != nil && r.store.options.Observer != nil {
		*state = string(registry.StatusOf(*rec.shown, r.store.options.Observer).State)
	}
	conditions := []metav1.Condition{c.ready(rec)}
	if t, ok := o.(*v1.DeploymentTarget); ok {
		count := c.countReferences(rec)
		t.Status.References = &count
		if count := r.store.options.CountWorkloads; count != nil && rec.shown != nil {
			if workloads, pods, ok := count(rec.shown.Metadata.Namespace, rec.shown.Metadata.Name); ok {
				t.Status.Workloads, t.Status.Pods = &workloads, &pods
			}
		}
		conditions = append(conditions, referenced(count, o.GetNamespace()))
	}
	for _, condition := range conditions {
		condition.ObservedGeneration = o.GetGeneration()
		meta.SetStatusCondition(&s.Conditions, condition)
	}
	if reflect.DeepEqual(o, rec.object) {
		return nil, nil, nil
	}
	return o, rec.Resource, readyCondition(rec.Status(rec.object))
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
			if workloadState(rec.object) != nil {
				s.enqueueStatus(uid)
			}
		}
		return
	}
	for _, rec := range s.owners[ownedKey{id: id}] {
		s.enqueueStatus(rec.object.GetUID())
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
	for _, rec := range s.owners[ownedKey{kind: registry.DeploymentTarget, namespace: platformNamespace, name: target}] {
		s.enqueueStatus(rec.object.GetUID())
	}
}

// Readiness returns the condition Ready of the target with a name in REST, from the cache; false
// if there is none.
func (s *Store) Readiness(platformNamespace, target string) (registry.Readiness, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, rec := range s.owners[ownedKey{kind: registry.DeploymentTarget, namespace: platformNamespace, name: target}] {
		if rec.shown != nil {
			c := s.ready(rec)
			return registry.Readiness{Ready: c.Status == metav1.ConditionTrue, Reason: c.Reason, Message: c.Message}, true
		}
	}
	return registry.Readiness{}, false
}

// ready returns the condition Ready of a record.
func (c *objectCache) ready(rec *record) metav1.Condition {
	if rec.shown == nil {
		return metav1.Condition{Type: v1.Ready, Status: metav1.ConditionFalse, Reason: v1.NameTaken, Message: c.nameTaken(rec)}
	}
	if n := c.targetNotReady(rec); n != (notReady{}) {
		return metav1.Condition{Type: v1.Ready, Status: metav1.ConditionFalse, Reason: n.reason, Message: n.message}
	}
	message := "the REST API serves it"
	if name := c.targetNamespace(rec); name != "" {
		message = fmt.Sprintf("Flink may run in Kubernetes namespace %q", name)
	}
	return metav1.Condition{Type: v1.Ready, Status: metav1.ConditionTrue, Reason: v1.Registered, Message: message}
}

// nameTaken is the message for an object whose name in REST another object owns.
func (c *objectCache) nameTaken(rec *record) string {
	owners := c.owners[rec.nameKey()]
	if len(owners) == 0 {
		return "the object is terminating"
	}
	return fmt.Sprintf("not registered: %s.drey.dev %s is older and has the name %q in REST: delete one of the two",
		rec.Plural, owners[0].object.GetName(), rec.view.Metadata.Name)
}

// referenced returns the condition Referenced of a target.
func referenced(count int32, namespace string) metav1.Condition {
	if count == 0 {
		return metav1.Condition{Type: v1.Referenced, Status: metav1.ConditionFalse, Reason: v1.NotReferenced, Message: "no Deployment or SessionCluster of drey refers to it"}
	}
	return metav1.Condition{Type: v1.Referenced, Status: metav1.ConditionTrue, Reason: v1.InUse, Message: "Deployments or SessionClusters of drey refer to it: kubectl get vdep,vsc -n " + namespace}
}

// countReferences returns the number of objects that refer to a target, by name or by id. A
// target that REST does not show has none.
func (c *objectCache) countReferences(rec *record) int32 {
	if rec.shown == nil {
		return 0
	}
	m := rec.view.Metadata
	return int32(c.references[reference{namespace: m.Namespace, name: m.Name}] + //nolint:gosec // no cluster holds 2^31 objects
		c.references[reference{namespace: m.Namespace, id: rec.shown.Metadata.ID}])
}
