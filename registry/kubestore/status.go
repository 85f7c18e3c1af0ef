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

// Report writes into the status of the objects what the store knows of them, until ctx
// ends; nothing is written that is there already. Run it in one process of a cluster:
// what several know differs for moments, and each would correct the others.
//
// It needs the right to update the status of the objects.
func (s *Store) Report(ctx context.Context) {
	r := newReporter(s)
	s.mu.Lock()
	s.note = r.note
	for uid := range s.records {
		r.note(uid)
	}
	s.mu.Unlock()
	r.run(ctx)
	s.mu.Lock()
	s.note = nil
	s.mu.Unlock()
}

// reporter writes status, an object at a time.
type reporter struct {
	store *Store
	queue workqueue.TypedRateLimitingInterface[types.UID]
}

func newReporter(s *Store) *reporter {
	return &reporter{s, workqueue.NewTypedRateLimitingQueue(
		workqueue.NewTypedItemExponentialFailureRateLimiter[types.UID](100*time.Millisecond, time.Minute))}
}

// note says that an object's status may have to change. A moment's delay makes
// one write of a burst of changes.
func (r *reporter) note(uid types.UID) { r.queue.AddAfter(uid, 100*time.Millisecond) }

func (r *reporter) run(ctx context.Context) {
	context.AfterFunc(ctx, r.queue.ShutDown)
	for {
		uid, ended := r.queue.Get()
		if ended {
			return
		}
		if err := r.report(ctx, uid); err != nil && ctx.Err() == nil {
			r.store.log.WarnContext(ctx, "status not written", "error", err)
			r.queue.AddRateLimited(uid)
		} else {
			r.queue.Forget(uid)
		}
		r.queue.Done(uid)
	}
}

// report writes one object's status if it says something else.
func (r *reporter) report(ctx context.Context, uid types.UID) error {
	o, res, before := r.due(uid)
	if o == nil {
		return nil
	}
	written := false
	err := r.store.ask(ctx, fmt.Sprintf("update the status of %s %s/%s", res.Plural, o.GetNamespace(), o.GetName()), func(ctx context.Context) error {
		err := r.store.request("PUT").Namespace(o.GetNamespace()).Resource(res.Plural).Name(o.GetName()).SubResource("status").Body(o).Do(ctx).Error()
		if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
			return nil // it has changed, or is gone: the watch brings that
		}
		written = err == nil
		return err
	})
	if written && r.store.options.Tell != nil {
		r.tell(o, before, readiness(res.Status(o)))
	}
	return err
}

// tell tells of a target that is ready no more, or is again.
func (r *reporter) tell(o codec.Object, before, after *metav1.Condition) {
	if _, ok := o.(*v1.DeploymentTarget); !ok || after == nil {
		return
	}
	isNew := before == nil && after.Reason == v1.NamespaceNotServed // which passes, as a rule, before anybody looks
	lost := after.Status != metav1.ConditionTrue && (before == nil || before.Reason != after.Reason) && !isNew
	regained := after.Status == metav1.ConditionTrue && before != nil && before.Status != metav1.ConditionTrue
	if !lost && !regained {
		return
	}
	eventType := corev1.EventTypeWarning
	if regained {
		eventType = corev1.EventTypeNormal
	}
	about := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: o.GetNamespace(), Name: o.GetName(), UID: o.GetUID()}}
	about.SetGroupVersionKind(v1.GroupVersion.WithKind("DeploymentTarget"))
	r.store.options.Tell(about, eventType, after.Reason, after.Message)
}

func readiness(s *v1.Status) *metav1.Condition {
	return meta.FindStatusCondition(s.Conditions, v1.Ready)
}

// due returns an object with the status that it should have, or nil if it has
// that; and the condition Ready that it has, if it has one.
func (r *reporter) due(uid types.UID) (o codec.Object, res *codec.Resource, before *metav1.Condition) {
	m := r.store.mirror
	m.mu.RLock()
	defer m.mu.RUnlock()
	rec := m.records[uid]
	if rec == nil || rec.object.GetDeletionTimestamp() != nil || m.seen[registry.Namespace] == 0 {
		return nil, nil, nil
	}
	o = rec.object.DeepCopyObject().(codec.Object)
	s := rec.Status(o)
	s.ObservedGeneration = o.GetGeneration()
	s.Name = rec.view.Metadata.Name
	s.ID = ""
	ready := metav1.Condition{Type: v1.Ready, Status: metav1.ConditionTrue, Reason: v1.Registered, Message: "REST shows it"}
	if rec.shown != nil {
		s.ID = rec.shown.Metadata.ID
		if at := m.pointsAt(rec); at != "" {
			ready.Message = fmt.Sprintf("REST shows it, and Flink may run in Kubernetes namespace %q", at)
		}
		if h := m.hurdleFor(rec); h != (hurdle{}) {
			ready.Status, ready.Reason, ready.Message = metav1.ConditionFalse, h.reason, h.message
		}
	} else {
		ready.Status, ready.Reason, ready.Message = metav1.ConditionFalse, v1.NameTaken, m.whyTaken(rec)
	}
	conditions := []metav1.Condition{ready}
	if t, ok := o.(*v1.DeploymentTarget); ok {
		count := m.countReferences(rec)
		t.Status.References = &count
		c := metav1.Condition{Type: v1.Referenced, Status: metav1.ConditionFalse, Reason: v1.NotReferenced, Message: "no Deployment or SessionCluster of drey names it"}
		if count > 0 {
			c.Status, c.Reason, c.Message = metav1.ConditionTrue, v1.InUse, "Deployments or SessionClusters of drey name it: kubectl get vdep,vsc -n "+o.GetNamespace()
		}
		conditions = append(conditions, c)
	}
	for _, c := range conditions {
		c.ObservedGeneration = o.GetGeneration()
		meta.SetStatusCondition(&s.Conditions, c)
	}
	if reflect.DeepEqual(o, rec.object) {
		return nil, nil, nil
	}
	return o, rec.Resource, readiness(rec.Status(rec.object))
}

func (m *mirror) whyTaken(rec *record) string {
	first := m.claims[rec.nameClaim()]
	if len(first) == 0 {
		return "it is being deleted"
	}
	return fmt.Sprintf("%s.drey.dev %s is older and has the name %q in REST: REST does not show this one. Delete one of the two",
		rec.Plural, first[0].object.GetName(), rec.view.Metadata.Name)
}

// countReferences is how many objects name a target, by its name or its id. One
// that REST does not show has none.
func (m *mirror) countReferences(rec *record) int32 {
	if rec.shown == nil {
		return 0
	}
	at := rec.view.Metadata
	return int32(m.references[reference{namespace: at.Namespace, name: at.Name}] + //nolint:gosec // no cluster holds 2^31 objects
		m.references[reference{namespace: at.Namespace, id: rec.shown.Metadata.ID}])
}
