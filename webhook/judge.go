package webhook

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"drey.dev/drey/webhook/flink"
	"drey.dev/drey/webhook/verdict"
)

// purpose is what a webhook does with a verdict.
type purpose struct {
	labels bool // add what is missing
	gate   bool // refuse what is denied
}

// admit is the handler of a webhook that is asked about what is being made.
// recognise looks at the object of a request.
func admit[T any](w *Webhooks, name string, p purpose, recognise func(*T, *request[T]) flink.Workload) http.Handler {
	return endpoint[T]{w, name, func(ctx context.Context, r *request[T]) response {
		if answer, ok := w.pass(r.UID, r.Namespace, r.SubResource, r.Operation == "CREATE"); ok {
			return answer
		}
		v := verdict.Decide(w.know(ctx, recognise(r.Object, r)), w.known)
		answer := response{uid: r.UID, allowed: true, reason: v.Reason}
		switch {
		case !v.Allowed && p.gate:
			w.refuse(&answer, v, name, r.DryRun)
		case v.Allowed && p.labels:
			answer.kept = v.Kept
			w.metrics.labelled(v)
			if annotation := deniedLabels(v.Object()); len(v.Add) > 0 || annotation.Key != "" {
				answer.patch = appendPatch(make([]byte, 0, 512), v.Object(), v.Add, annotation)
			}
		}
		if warning := v.Warning(); warning != "" {
			answer.warnings = append(answer.warnings, warning)
		}
		return answer
	}}
}

// pass answers requests on which nothing has to be decided.
func (w *Webhooks) pass(uid, namespace, subResource string, concerned bool) (response, bool) {
	answer := response{uid: uid, allowed: true, reason: verdict.NotConcerned}
	switch {
	case !concerned, subResource != "":
		return answer, true
	case slices.Contains(w.exclude, namespace):
		answer.reason = verdict.ExcludedNamespace
		return answer, true
	}
	return answer, false
}

// labelled is a pod of which only the metadata matters.
type labelled struct {
	Metadata metadata `json:"metadata"`
}

// keepLabels decides on updates of pods. What is being deleted is left alone:
// a finalizer that cannot go holds the pod for ever.
func (w *Webhooks) keepLabels(_ context.Context, r *request[labelled]) response {
	answer, ok := w.pass(r.UID, r.Namespace, r.SubResource, r.Operation == "UPDATE")
	if ok || r.Object.Metadata.Deletion != "" {
		return answer
	}
	o := r.Object.Metadata.object("Pod", r.Namespace)
	o.Pod.Labels = o.Labels
	v := verdict.DecideUpdate(flink.Recognise(&o), r.OldObject.Metadata.Labels)
	answer.reason = v.Reason
	if !v.Allowed {
		w.refuse(&answer, v, validatePodLabels, r.DryRun)
	}
	return answer
}

// deniedLabels is the annotation of a workload whose selector wants some of our labels
// absent from its pods; without a key if it wants none, or says so already.
func deniedLabels(o *flink.Object) verdict.Label {
	if _, there := o.Annotations[flink.AnnotationDenied]; there || len(o.Denied) == 0 {
		return verdict.Label{}
	}
	var ours []string
	for _, key := range o.Denied {
		if verdict.IsLabel(key) && !slices.Contains(ours, key) {
			ours = append(ours, key)
		}
	}
	if len(ours) == 0 {
		return verdict.Label{}
	}
	return verdict.Label{Key: flink.AnnotationDenied, Value: strings.Join(ours, ",")}
}
