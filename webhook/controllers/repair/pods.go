package repair

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	toolswatch "k8s.io/client-go/tools/watch"

	"drey.dev/drey/listwatch"
	"drey.dev/drey/webhook/flink"
	"drey.dev/drey/webhook/verdict"
)

// selectors match pods that may lack a label: pods without an identity, applications
// without a job id, and pods that an earlier version labeled.
var selectors = []string{
	"!" + verdict.LabelDeploymentID + ",!" + verdict.LabelSessionClusterID,
	verdict.LabelSystem + "=" + verdict.System + "," + verdict.LabelDeploymentID + ",!" + verdict.LabelJobID,
	verdict.LabelSystem + "=" + verdict.System + ",!" + verdict.LabelKind,
}

// watchPods queues the pods of the whole cluster that a selector matches, until ctx ends.
// It has no cache, so it lists by pages, unlike an informer.
func (r *Repairer) watchPods(ctx context.Context, selector string) {
	initial := wait.Backoff{Duration: time.Second, Factor: 2, Jitter: 1, Steps: 6, Cap: 30 * time.Second}
	backoff := initial
	for ctx.Err() == nil {
		start := time.Now()
		err := r.listAndWatch(ctx, selector)
		switch {
		case ctx.Err() != nil:
		case apierrors.IsResourceExpired(err), apierrors.IsGone(err): // the watch was interrupted for too long: list again
		case err != nil:
			r.o.Log.Warn("pods without labels not watched: it is retried", "selector", selector, "error", err)
		}
		if time.Since(start) > backoffReset {
			backoff = initial
		}
		select {
		case <-ctx.Done():
		case <-time.After(backoff.Step()):
		}
	}
}

// backoffReset is the minimum duration of a watch that resets the backoff.
const backoffReset = 2 * time.Minute

func (r *Repairer) listAndWatch(ctx context.Context, selector string) error {
	version, err := r.list(ctx, pods, metav1.NamespaceAll, selector, r.enqueueUnchecked)
	if err != nil {
		return err
	}
	changes, err := toolswatch.NewRetryWatcherWithContext(ctx, version, cache.ToWatcherWithContext(
		listwatch.Metadata(r.o.Pods, pods, func(o *metav1.ListOptions) { o.LabelSelector = selector })))
	if err != nil {
		return err
	}
	defer changes.Stop()
	for e := range changes.ResultChan() {
		pod, ok := e.Object.(*metav1.PartialObjectMetadata)
		switch {
		case e.Type == watch.Error:
			return apierrors.FromObject(e.Object)
		case !ok, e.Type == watch.Bookmark:
		case e.Type == watch.Deleted: // deleted, or labeled
			r.setUnlabeled(cache.MetaObjectToName(pod), false)
		default:
			r.enqueueUnchecked(pod)
		}
	}
	return nil
}

// list calls found for the objects in a namespace, and returns the resourceVersion of the list.
func (r *Repairer) list(ctx context.Context, resource schema.GroupVersionResource, namespace, selector string, found func(*metav1.PartialObjectMetadata)) (string, error) {
	options := metav1.ListOptions{LabelSelector: selector, Limit: pageSize}
	for {
		all, err := r.o.Pods.Resource(resource).Namespace(namespace).List(ctx, options)
		if err != nil {
			return "", err
		}
		for i := range all.Items {
			found(&all.Items[i])
		}
		if options.Continue = all.Continue; options.Continue == "" {
			return all.ResourceVersion, nil
		}
	}
}

// enqueueUnchecked queues a pod unless it was checked recently.
func (r *Repairer) enqueueUnchecked(pod *metav1.PartialObjectMetadata) {
	if _, checked := r.checked.Get(pod.UID); !checked {
		r.enqueue(pod)
	}
}

// enqueue queues a pod that may need repair or a report.
func (r *Repairer) enqueue(pod *metav1.PartialObjectMetadata) {
	if pod.DeletionTimestamp == nil && !r.excluded(pod.Namespace) && (r.o.HasTarget(pod.Namespace) || looksLikeFlink(pod.Labels)) {
		q := r.queues.Load()
		if pod.Labels[verdict.LabelSystem] == verdict.System {
			q.checks.AddAfter(cache.MetaObjectToName(pod), settleDelay)
			return
		}
		q.pods.AddAfter(cache.MetaObjectToName(pod), settleDelay)
	}
}

// settleDelay coalesces the updates of a pod, which come in quick succession after its
// creation.
const settleDelay = 2 * time.Second

// looksLikeFlink reports whether a pod in a namespace without a target is worth reading, by
// its labels.
func looksLikeFlink(labels map[string]string) bool {
	switch flink.Role(labels[flink.LabelComponent]) {
	case flink.JobManager, flink.TaskManager:
		return true
	}
	switch labels[flink.LabelType] {
	case flink.TypeNative, flink.TypeStandalone:
		return true
	}
	return labels[flink.LabelName] == flink.NameFlink || labels[flink.LabelLyftApp] != ""
}
