package repair

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	toolswatch "k8s.io/client-go/tools/watch"
	"k8s.io/utils/clock"

	"drey.dev/drey/listwatch"
	"drey.dev/drey/webhook/verdict"
)

// selectors find pods that may lack a label: those that nothing identifies, applications
// whose job was not known yet, and those that an earlier version labeled.
var selectors = []string{
	"!" + verdict.LabelDeploymentID + ",!" + verdict.LabelSessionClusterID,
	verdict.LabelSystem + "=" + verdict.System + "," + verdict.LabelDeploymentID + ",!" + verdict.LabelJobID,
	verdict.LabelSystem + "=" + verdict.System + ",!" + verdict.LabelKind,
}

// follow hears of the pods that a selector finds, in the whole cluster, until ctx
// ends. Nothing of them is kept: their names go into the queue if they are of
// interest. So it lists by pages, rather than as an informer does.
func (r *Repairer) follow(ctx context.Context, selector string) {
	backoff := wait.Backoff{Duration: time.Second, Factor: 2, Jitter: 1, Steps: 6, Cap: 30 * time.Second}
	_ = backoff.DelayWithReset(clock.RealClock{}, 2*time.Minute).Until(ctx, true, true, func(ctx context.Context) (bool, error) { // it ends with ctx
		err := r.hear(ctx, selector)
		switch {
		case ctx.Err() != nil:
		case apierrors.IsResourceExpired(err), apierrors.IsGone(err): // it was away for too long: list again
		case err != nil:
			r.o.Log.Warn("pods that lack labels cannot be followed: it is tried again", "selector", selector, "error", err)
		}
		return false, nil
	})
}

func (r *Repairer) hear(ctx context.Context, selector string) error {
	version, err := r.list(ctx, metav1.NamespaceAll, selector, r.found)
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
		case e.Type == watch.Deleted: // it is gone, or has got its labels
			r.note(cache.MetaObjectToName(pod), false)
		default:
			r.found(pod)
		}
	}
	return nil
}

// list looks for pods in a namespace, and returns the version of the list.
func (r *Repairer) list(ctx context.Context, namespace, selector string, found func(*metav1.PartialObjectMetadata)) (string, error) {
	options := metav1.ListOptions{LabelSelector: selector, Limit: page}
	for {
		all, err := r.o.Pods.Resource(pods).Namespace(namespace).List(ctx, options)
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

// found puts a pod into the queue if it may have to be repaired, or reported, and was
// not looked at lately.
func (r *Repairer) found(pod *metav1.PartialObjectMetadata) {
	if _, known := r.looked.Get(pod.UID); !known {
		r.foundAnew(pod)
	}
}

// foundAnew does so even if it was: its namespace has got a target since.
func (r *Repairer) foundAnew(pod *metav1.PartialObjectMetadata) {
	if pod.DeletionTimestamp == nil && !r.excluded(pod.Namespace) && (r.o.HasTarget(pod.Namespace) || looksLikeFlink(pod.Labels)) {
		r.queues.Load().pods.AddAfter(cache.MetaObjectToName(pod), settle)
	}
}

// settle is how long a pod is let be: many of its updates come close together, and
// what admission is deciding on is not yet here to be repaired.
const settle = 2 * time.Second

// looksLikeFlink holds for pods of namespaces without a target that are worth a
// look: it sees labels alone.
func looksLikeFlink(labels map[string]string) bool {
	switch labels["component"] {
	case "jobmanager", "taskmanager":
		return true
	}
	switch labels["type"] {
	case "flink-native-kubernetes", "flink-standalone-kubernetes":
		return true
	}
	return labels["app.kubernetes.io/name"] == "flink" || labels["flink-app"] != ""
}
