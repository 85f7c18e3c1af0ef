// Package namespacelabels sets [config.LabelRegistered] on the Kubernetes namespaces of
// targets, and caches which namespaces have it.
package namespacelabels

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"

	"drey.dev/drey/listwatch"
	"drey.dev/drey/webhook/config"
)

// Options configure a [Labeler]. All but Exclude are required.
type Options struct {
	Client      metadata.Interface
	HasTarget   func(namespace string) bool
	HasAdmitted func(namespace string) bool // whether admitted workloads run in a namespace
	Exclude     []string                    // namespaces that are left alone
	Log         *slog.Logger
}

// Labeler is the controller that keeps [config.LabelRegistered] of all namespaces. Run it
// in the leader; every replica may call [Labeler.SetRegistered].
type Labeler struct {
	o       Options
	writing chan struct{} // a semaphore: a decision and its write are atomic, so that no label that was just set is removed
	run     atomic.Pointer[run]
}

// run is the state of a running Labeler.
type run struct {
	informer      cache.SharedIndexInformer
	queue         workqueue.TypedRateLimitingInterface[string]
	withoutTarget map[string]time.Time // registered namespaces without a target, since when; used by the worker alone
}

var namespaces = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}

// New returns a Labeler that is not running.
func New(o Options) *Labeler { return &Labeler{o: o, writing: make(chan struct{}, 1)} }

func (l *Labeler) newRun() (*run, error) {
	r := &run{
		informer: cache.NewSharedIndexInformer(listwatch.Metadata(l.o.Client, namespaces, nil), &metav1.PartialObjectMetadata{}, 0, cache.Indexers{}),
		queue: workqueue.NewTypedRateLimitingQueueWithConfig(
			workqueue.NewTypedItemExponentialFailureRateLimiter[string](100*time.Millisecond, time.Minute), workqueue.TypedRateLimitingQueueConfig[string]{Name: "drey-namespace-labels"}),
		withoutTarget: map[string]time.Time{},
	}
	if err := r.informer.SetTransform(trim); err != nil {
		return nil, err
	}
	enqueue := func(object any) {
		if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(object); err == nil {
			r.queue.Add(key)
		}
	}
	_, err := r.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: enqueue, UpdateFunc: func(_, now any) { enqueue(now) }})
	return r, err
}

// entry is a namespace in the caches.
type entry struct {
	name, version string
	registered    string // value of [config.LabelRegistered]
	terminating   bool
}

// GetObjectMeta implements [metav1.ObjectMetaAccessor].
func (e *entry) GetObjectMeta() metav1.Object {
	return &metav1.ObjectMeta{Name: e.name, ResourceVersion: e.version}
}

// trim reduces a namespace to the fields that the caches need.
func trim(object any) (any, error) {
	n, ok := object.(*metav1.PartialObjectMetadata)
	if !ok {
		return object, nil
	}
	value := n.Labels[config.LabelRegistered]
	for _, known := range []string{config.Registered, config.Draining} {
		if value == known {
			value = known // all namespaces share it
		}
	}
	return &entry{name: n.Name, version: n.ResourceVersion, registered: value, terminating: n.DeletionTimestamp != nil}, nil
}

// Enqueue queues a namespace whose targets or admitted workloads have changed. It does
// nothing while the Labeler is not running, and does not block.
func (l *Labeler) Enqueue(namespace string) {
	if r := l.run.Load(); r != nil {
		r.queue.Add(namespace)
	}
}

const (
	// patchTimeout bounds the patch of one namespace.
	patchTimeout = 10 * time.Second

	// unregisterDelay is the time that a namespace is without a target in the index
	// before its label changes: another replica may have registered a target that the
	// watch has not delivered yet.
	unregisterDelay = 2 * time.Second

	// drainingInterval is the time between two checks of a draining namespace for
	// admitted workloads.
	drainingInterval = 30 * time.Second

	// policyPropagationDelay is the time that the API server takes to pass a change in
	// its watch cache on to its policies, which no request can observe.
	policyPropagationDelay = 25 * time.Millisecond
)

// Run sets and removes labels until ctx ends. It may be called again after that.
func (l *Labeler) Run(ctx context.Context) error {
	r, err := l.newRun()
	if err != nil {
		return err
	}
	l.run.Store(r)
	defer l.run.Store(nil)
	go r.informer.RunWithContext(ctx)
	context.AfterFunc(ctx, r.queue.ShutDown)
	if !cache.WaitForCacheSync(ctx.Done(), r.informer.HasSynced) {
		return nil
	}
	for l.processNext(ctx, r) {
	}
	return nil
}

func (l *Labeler) processNext(ctx context.Context, r *run) bool {
	namespace, shutdown := r.queue.Get()
	if shutdown {
		return false
	}
	defer r.queue.Done(namespace)
	after, err := l.reconcile(ctx, r, namespace)
	switch {
	case err != nil && ctx.Err() == nil:
		l.o.Log.Warn("namespace not labeled: it is retried", "namespace", namespace, "error", err)
		r.queue.AddRateLimited(namespace)
		return true
	case after > 0:
		r.queue.AddAfter(namespace, after)
	}
	r.queue.Forget(namespace)
	return true
}

// reconcile sets the label of one namespace, and returns when to reconcile it again; 0:
// when it changes.
func (l *Labeler) reconcile(ctx context.Context, r *run, namespace string) (after time.Duration, err error) {
	object, ok, err := r.informer.GetIndexer().GetByKey(namespace)
	n, _ := object.(*entry)
	if err != nil || !ok || n.terminating || slices.Contains(l.o.Exclude, namespace) {
		delete(r.withoutTarget, namespace)
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, patchTimeout)
	defer cancel()
	if err := l.lock(ctx); err != nil {
		return 0, err
	}
	defer l.unlock()
	have := n.registered
	want := l.want(namespace, have)
	if have != config.Registered || want == config.Registered {
		delete(r.withoutTarget, namespace)
	} else if since, ok := r.withoutTarget[namespace]; !ok || time.Since(since) < unregisterDelay {
		if !ok {
			r.withoutTarget[namespace] = time.Now()
		}
		return unregisterDelay, nil
	}
	if want == config.Draining {
		after = drainingInterval
	}
	if have == want {
		return after, nil
	}
	if _, err := l.patch(ctx, namespace, want); err != nil {
		return 0, err
	}
	l.o.Log.Info("namespace labeled", "namespace", namespace, "label", config.LabelRegistered, "value", want, "was", have)
	return after, nil
}

func (l *Labeler) lock(ctx context.Context) error {
	select {
	case l.writing <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait to label a namespace: %w", ctx.Err())
	}
}

func (l *Labeler) unlock() { <-l.writing }

// want returns the value of the label for a namespace that has a value, both "" for none.
// Only a registered namespace drains: elsewhere the labels of a workload are no proof that
// it was admitted, since every user with write access can set them.
func (l *Labeler) want(namespace, have string) string {
	switch {
	case l.o.HasTarget(namespace):
		return config.Registered
	case (have == config.Registered || have == config.Draining) && l.o.HasAdmitted(namespace):
		return config.Draining
	}
	return ""
}

// SetRegistered labels a namespace that has a new target, and returns when the policies of
// the API server see it. A namespace that does not exist is no error: the controller labels
// it when it is created.
func (l *Labeler) SetRegistered(ctx context.Context, namespace string) error {
	if slices.Contains(l.o.Exclude, namespace) {
		return nil
	}
	if err := l.lock(ctx); err != nil {
		return err
	}
	version, err := l.patch(ctx, namespace, config.Registered)
	l.unlock()
	if err != nil || version == "" {
		return err
	}
	return l.waitForPolicies(ctx, namespace, version)
}

// waitForPolicies returns when the API server's watch cache has a version of a namespace,
// and its policies, which that cache feeds, have had time to follow.
func (l *Labeler) waitForPolicies(ctx context.Context, namespace, version string) error {
	// A get with a resourceVersion is served from the watch cache, and blocks until that
	// is as new (Kubernetes, "API Concepts", "not older than").
	_, err := l.o.Client.Resource(namespaces).Get(ctx, namespace, metav1.GetOptions{ResourceVersion: version})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read namespace %s: %w", namespace, err)
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(policyPropagationDelay):
		return nil
	}
}

// patch sets the label, or removes it if value is empty, and returns the resourceVersion of
// the namespace; empty if it does not exist.
func (l *Labeler) patch(ctx context.Context, namespace, value string) (version string, err error) {
	var label any
	if value != "" {
		label = value
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"labels": map[string]any{config.LabelRegistered: label}}})
	if err != nil {
		return "", err
	}
	n, err := l.o.Client.Resource(namespaces).Patch(ctx, namespace, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "drey"})
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("label namespace %s: %w", namespace, err)
	}
	return n.ResourceVersion, nil
}
