// Package namespacelabels labels the namespaces that have a target.
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

// Options are what a [Labeler] needs. All but Exclude are required.
type Options struct {
	Client    metadata.Interface
	HasTarget func(namespace string) bool
	Runs      func(namespace string) bool // whether what was admitted runs there
	Exclude   []string
	Log       *slog.Logger
}

// Labeler keeps the marks of all namespaces as they should be. Run it in one process
// of a cluster; [Labeler.Set] may be called in all.
type Labeler struct {
	o       Options
	marking chan struct{} // is full while one decides and marks: else a mark that was just set could be taken off again
	run     atomic.Pointer[run]
}

// run is what a Labeler has while it runs.
type run struct {
	informer cache.SharedIndexInformer
	queue    workqueue.TypedRateLimitingInterface[string]
	doubted  map[string]time.Time // namespaces whose mark is to go, since when; of the one goroutine of Run
}

var namespaces = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}

// New makes a Labeler, which follows nothing before it is run.
func New(o Options) *Labeler { return &Labeler{o: o, marking: make(chan struct{}, 1)} }

func (k *Labeler) newRun() (*run, error) {
	r := &run{
		informer: cache.NewSharedIndexInformer(listwatch.Metadata(k.o.Client, namespaces, nil), &metav1.PartialObjectMetadata{}, 0, cache.Indexers{}),
		queue:    workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[string](100*time.Millisecond, time.Minute)),
		doubted:  map[string]time.Time{},
	}
	if err := r.informer.SetTransform(slim); err != nil {
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

// slim keeps of a namespace its name and its mark.
func slim(object any) (any, error) {
	if n, ok := object.(*metav1.PartialObjectMetadata); ok {
		labels := map[string]string{}
		if mark, ok := n.Labels[config.LabelRegistered]; ok {
			labels[config.LabelRegistered] = mark
		}
		n.ObjectMeta = metav1.ObjectMeta{Name: n.Name, ResourceVersion: n.ResourceVersion, Labels: labels, DeletionTimestamp: n.DeletionTimestamp}
	}
	return object, nil
}

// Changed has the mark of a namespace looked at: its targets have changed, or what runs
// there. It does not wait.
func (k *Labeler) Changed(namespace string) {
	if r := k.run.Load(); r != nil {
		r.queue.Add(namespace)
	}
}

// patience is how long the API server may take over one mark.
const patience = 10 * time.Second

// doubt is how long a namespace is without a target before its mark goes: another
// process may have made a target, and marked, of which this one has not heard.
const doubt = 2 * time.Second

// draining is how often a namespace without a target is asked whether anything runs
// there still.
const draining = 30 * time.Second

// Run keeps the marks until ctx ends. It may be run again after that.
func (k *Labeler) Run(ctx context.Context) error {
	r, err := k.newRun()
	if err != nil {
		return err
	}
	k.run.Store(r)
	defer k.run.Store(nil)
	go r.informer.RunWithContext(ctx)
	context.AfterFunc(ctx, r.queue.ShutDown)
	if !cache.WaitForCacheSync(ctx.Done(), r.informer.HasSynced) {
		return nil
	}
	for k.next(ctx, r) {
	}
	return nil
}

func (k *Labeler) next(ctx context.Context, r *run) bool {
	namespace, over := r.queue.Get()
	if over {
		return false
	}
	defer r.queue.Done(namespace)
	again, err := k.keep(ctx, r, namespace)
	switch {
	case err != nil && ctx.Err() == nil:
		k.o.Log.Warn("namespace not marked: it is tried again", "namespace", namespace, "error", err)
		r.queue.AddRateLimited(namespace)
		return true
	case again > 0:
		r.queue.AddAfter(namespace, again)
	}
	r.queue.Forget(namespace)
	return true
}

// keep brings one mark to what it should be, and says when to look again.
func (k *Labeler) keep(ctx context.Context, r *run, namespace string) (again time.Duration, err error) {
	object, ok, err := r.informer.GetIndexer().GetByKey(namespace)
	n, _ := object.(*metav1.PartialObjectMetadata)
	if err != nil || !ok || n.DeletionTimestamp != nil || slices.Contains(k.o.Exclude, namespace) {
		delete(r.doubted, namespace)
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := k.begin(ctx); err != nil {
		return 0, err
	}
	defer k.end()
	has := n.Labels[config.LabelRegistered]
	want := k.want(namespace, has)
	if has != config.Registered || want == config.Registered {
		delete(r.doubted, namespace)
	} else if since, ok := r.doubted[namespace]; !ok || time.Since(since) < doubt {
		if !ok {
			r.doubted[namespace] = time.Now()
		}
		return doubt, nil
	}
	if want == config.Draining {
		again = draining
	}
	if has == want {
		return again, nil
	}
	if _, err := k.patch(ctx, namespace, want); err != nil {
		return 0, err
	}
	k.o.Log.Info("namespace marked", "namespace", namespace, "label", config.LabelRegistered, "value", want, "was", has)
	return again, nil
}

// begin waits until nobody else decides and marks. end has to follow.
func (k *Labeler) begin(ctx context.Context) error {
	select {
	case k.marking <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait to mark a namespace: %w", ctx.Err())
	}
}

func (k *Labeler) end() { <-k.marking }

// want is what the mark of a namespace that has one, or "", should be; empty for none.
// Only a namespace that was registered drains: what says that it was admitted in another
// is no proof, for every user with write access there can set that.
func (k *Labeler) want(namespace, has string) string {
	switch {
	case k.o.HasTarget(namespace):
		return config.Registered
	case (has == config.Registered || has == config.Draining) && k.o.Runs(namespace):
		return config.Draining
	}
	return ""
}

// Set marks a namespace that has just got a target, for whoever makes a pod there
// right after. A namespace that is not there is no error: it is marked when it comes.
func (k *Labeler) Set(ctx context.Context, namespace string) error {
	if slices.Contains(k.o.Exclude, namespace) {
		return nil
	}
	if err := k.begin(ctx); err != nil {
		return err
	}
	version, err := k.patch(ctx, namespace, config.Registered)
	k.end()
	if err != nil || version == "" {
		return err
	}
	return k.awaitSeen(ctx, namespace, version)
}

// awaitSeen waits until the API server's own cache has a version of a namespace. The
// policy goes by what that cache feeds, which has it a moment later.
func (k *Labeler) awaitSeen(ctx context.Context, namespace, version string) error {
	// The API server answers from the cache once that is as new (Kubernetes, "API
	// Concepts", resourceVersion "not older than"), and holds the request meanwhile.
	_, err := k.o.Client.Resource(namespaces).Get(ctx, namespace, metav1.GetOptions{ResourceVersion: version})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read namespace %s: %w", namespace, err)
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(moment):
		return nil
	}
}

// moment is what the API server is given to tell its policies of a change that its own
// cache has, which nothing can be asked about.
const moment = 25 * time.Millisecond

// patch writes a mark, and returns the version of the namespace that has it: empty if
// there is no such namespace.
func (k *Labeler) patch(ctx context.Context, namespace, mark string) (version string, err error) {
	var value any
	if mark != "" {
		value = mark
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"labels": map[string]any{config.LabelRegistered: value}}})
	if err != nil {
		return "", err
	}
	n, err := k.o.Client.Resource(namespaces).Patch(ctx, namespace, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "drey"})
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("label namespace %s: %w", namespace, err)
	}
	return n.ResourceVersion, nil
}
