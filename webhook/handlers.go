package webhook

import (
	"context"
	"net/http"
	"slices"

	"drey.dev/drey/webhook/config"
	"drey.dev/drey/webhook/flink"
	"drey.dev/drey/webhook/verdict"
)

// effect is what a webhook does with a verdict.
type effect struct {
	label bool // add missing labels
	deny  bool // deny the request
}

// admit returns the handler of a webhook for creations. recognize reads the object of a
// request.
func admit[T any](w *Webhooks, name string, effect effect, recognize func(*T, *request[T]) flink.Workload) http.Handler {
	return newEndpoint(w, name, func(ctx context.Context, r *request[T]) response {
		if answer, ok := w.skip(r.UID, r.Namespace, r.SubResource, r.Operation == "CREATE"); ok {
			return answer
		}
		v, current := w.decide(ctx, w.withOwners(ctx, recognize(r.Object, r)))
		answer := response{uid: r.UID, allowed: true, reason: v.Reason}
		switch {
		case !v.Allowed && effect.deny:
			deny(w, r, &answer, v, name)
			if !current && !answer.allowed {
				answer.retryable = true
				answer.message += " Drey has not read the latest targets yet: if you have just registered one, try again."
			}
		case v.Allowed && effect.label:
			answer.mismatches = v.Kept
			w.metrics.labeled(v)
			if len(v.Add) > 0 {
				answer.patch = appendLabelsPatch(r.patch, len(v.Object().Labels) > 0, v.Add)
			}
		}
		if effect.deny && effect.label && v.Reason == verdict.HasTarget && !r.DryRun { // a pod
			w.awaitRegistered(ctx, r.Namespace)
		}
		if warning := v.Warning(); warning != "" {
			answer.warnings = append(answer.warnings, warning)
		}
		return answer
	})
}

// skip answers requests that no rule applies to.
func (w *Webhooks) skip(uid, namespace, subResource string, applicable bool) (response, bool) {
	answer := response{uid: uid, allowed: true, reason: verdict.NotApplicable}
	switch {
	case !applicable, subResource != "":
		return answer, true
	case slices.Contains(w.exclude, namespace):
		answer.reason = verdict.ExcludedNamespace
		return answer, true
	}
	return answer, false
}

// validateUpdate returns the handler of a webhook for updates. Updates of terminating objects
// are allowed, so finalizers can be removed.
func validateUpdate[T any, P interface {
	*T
	meta() *metadata
	recognize(*request[T]) flink.Workload
}](w *Webhooks, name string) http.Handler {
	return newEndpoint(w, name, func(ctx context.Context, r *request[T]) response {
		answer, ok := w.skip(r.UID, r.Namespace, ignoreStatus(r.SubResource), r.Operation == "UPDATE")
		if ok || P(r.Object).meta().Deletion != "" {
			return answer
		}
		f, old := P(r.Object).recognize(r), P(r.OldObject).meta().Labels
		if verdict.SetsIdentity(old, f.Object.Labels) {
			f = w.withOwners(ctx, f)
		}
		v := verdict.DecideUpdate(f, old, w.state)
		if v.Allowed && f.Recognized() && !P(r.OldObject).recognize(r).Recognized() { // it becomes Flink's: decide as on creation
			if created := verdict.Decide(w.withOwners(ctx, f), w.state); !created.Allowed {
				v = created
			}
		}
		answer.reason = v.Reason
		if !v.Allowed {
			deny(w, r, &answer, v, name)
		}
		return answer
	})
}

// ignoreStatus returns a subresource, or "" for status, whose updates change labels too.
func ignoreStatus(subResource string) string {
	if subResource == "status" {
		return ""
	}
	return subResource
}

// labeled is an object that is read for its metadata.
type labeled struct {
	Metadata metadata `json:"metadata"`
}

// restoreLabels adds the labels of a workload that an update removes.
func (w *Webhooks) restoreLabels(_ context.Context, r *request[labeled]) response {
	answer, ok := w.skip(r.UID, r.Namespace, ignoreStatus(r.SubResource), r.Operation == "UPDATE")
	if ok || r.Object.Metadata.Deletion != "" {
		return answer
	}
	now := r.Object.Metadata.Labels
	if lost := verdict.RemovedLabels(r.OldObject.Metadata.Labels, now); len(lost) > 0 {
		answer.reason = verdict.LabelsRestored
		answer.patch = appendLabelsPatch(r.patch, len(now) > 0, lost)
	}
	return answer
}

// resetRegisteredLabel undoes a change of config.LabelRegistered, which the API server sends
// if its user is not drey. It warns if the request states a value. A created namespace gets its
// label from the controller.
func (w *Webhooks) resetRegisteredLabel(_ context.Context, r *request[labeled]) response {
	answer := response{uid: r.UID, allowed: true, reason: verdict.NotApplicable}
	if r.Object == nil || r.Object.Metadata.Deletion != "" {
		return answer
	}
	now, was := r.Object.Metadata.Labels, map[string]string(nil)
	if r.OldObject != nil {
		was = r.OldObject.Metadata.Labels
	}
	value, stated := now[config.LabelRegistered]
	old, had := was[config.LabelRegistered]
	if value == old && stated == had {
		return answer
	}
	answer.reason = verdict.LabelReset
	if had {
		answer.patch = appendLabelsPatch(r.patch, len(now) > 0, []verdict.Label{{Key: config.LabelRegistered, Value: old}})
	} else {
		answer.patch = appendRemoveLabelPatch(r.patch, config.LabelRegistered)
	}
	if stated {
		answer.warnings = append(answer.warnings, "drey sets the label "+config.LabelRegistered+" itself, on namespaces with a DeploymentTarget: its value in the request is ignored")
	}
	return answer
}
