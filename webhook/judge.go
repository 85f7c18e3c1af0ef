package webhook

import (
	"context"
	"net/http"
	"slices"

	"drey.dev/drey/webhook/flink"
	"drey.dev/drey/webhook/verdict"
)

// purpose is what a webhook does with a verdict.
type purpose struct {
	labels bool // add what is missing
	gate   bool // refuse what is denied
}

// admit is the handler of a webhook that is asked about what is being made.
// recognize looks at the object of a request.
func admit[T any](w *Webhooks, name string, p purpose, recognize func(*T, *request[T]) flink.Workload) http.Handler {
	return endpoint[T]{w, name, func(ctx context.Context, r *request[T]) response {
		if answer, ok := w.pass(r.UID, r.Namespace, r.SubResource, r.Operation == "CREATE"); ok {
			return answer
		}
		v := verdict.Decide(w.know(ctx, recognize(r.Object, r)), w.known)
		answer := response{uid: r.UID, allowed: true, reason: v.Reason}
		switch {
		case !v.Allowed && p.gate:
			w.refuse(&answer, v, name, r.DryRun)
		case v.Allowed && p.labels:
			answer.kept = v.Kept
			w.metrics.labeled(v)
			if len(v.Add) > 0 {
				answer.patch = appendLabelsPatch(make([]byte, 0, 512), len(v.Object().Labels) > 0, v.Add)
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
	answer := response{uid: uid, allowed: true, reason: verdict.NotApplicable}
	switch {
	case !concerned, subResource != "":
		return answer, true
	case slices.Contains(w.exclude, namespace):
		answer.reason = verdict.ExcludedNamespace
		return answer, true
	}
	return answer, false
}

// keep is the handler of a webhook that is asked about updates. What is being deleted
// is left alone: a finalizer that cannot go holds the object for ever.
func keep[T any, P interface {
	*T
	described() *metadata
	recognize(*request[T]) flink.Workload
}](w *Webhooks, name string) http.Handler {
	return endpoint[T]{w, name, func(ctx context.Context, r *request[T]) response {
		answer, ok := w.pass(r.UID, r.Namespace, metadataOf(r.SubResource), r.Operation == "UPDATE")
		if ok || P(r.Object).described().Deletion != "" {
			return answer
		}
		f, old := P(r.Object).recognize(r), P(r.OldObject).described().Labels
		if verdict.SetsIdentity(old, f.Object.Labels) {
			f = w.know(ctx, f)
		}
		v := verdict.DecideUpdate(f, old, w.known)
		if v.Allowed && f.Recognized() && !P(r.OldObject).recognize(r).Recognized() { // it becomes Flink's: as if it was made now
			if made := verdict.Decide(w.know(ctx, f), w.known); !made.Allowed {
				v = made
			}
		}
		answer.reason = v.Reason
		if !v.Allowed {
			w.refuse(&answer, v, name, r.DryRun)
		}
		return answer
	}}
}

// metadataOf is a subresource, or none if that is the status: its writer writes the
// labels, too.
func metadataOf(subResource string) string {
	if subResource == "status" {
		return ""
	}
	return subResource
}

// labeled is an object of which only the metadata matters.
type labeled struct {
	Metadata metadata `json:"metadata"`
}

// restoreLabels gives back to a workload the labels that an update forgets.
func (w *Webhooks) restoreLabels(_ context.Context, r *request[labeled]) response {
	answer, ok := w.pass(r.UID, r.Namespace, metadataOf(r.SubResource), r.Operation == "UPDATE")
	if ok || r.Object.Metadata.Deletion != "" {
		return answer
	}
	now := r.Object.Metadata.Labels
	if lost := verdict.RemovedLabels(r.OldObject.Metadata.Labels, now); len(lost) > 0 {
		answer.reason = verdict.LabelsRestored
		answer.patch = appendLabelsPatch(make([]byte, 0, 512), len(now) > 0, lost)
	}
	return answer
}
