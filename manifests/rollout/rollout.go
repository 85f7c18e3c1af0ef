// Package rollout brings the objects of package bundle into a cluster, and out of it,
// in an order in which nothing is refused for want of drey.
package rollout

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"k8s.io/apimachinery/pkg/util/wait"

	"drey.dev/drey/manifests/bundle"
)

// Rollout works on one cluster.
type Rollout struct {
	client dynamic.Interface
	dryRun []string
	tell   func(what, became string)
}

// New returns one for the cluster of a client configuration. With dryRun the API
// server says what it would do, and does nothing. tell hears of each object.
func New(config *rest.Config, dryRun bool, tell func(what, became string)) (*Rollout, error) {
	config = rest.CopyConfig(config)
	config.QPS, config.Burst = 50, 100
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	r := &Rollout{client: client, tell: tell}
	if dryRun {
		r.dryRun = []string{metav1.DryRunAll}
	}
	return r, nil
}

func (r *Rollout) dry() bool { return len(r.dryRun) > 0 }

// fieldManager is who the API server remembers for the fields that are stated here.
// Drey itself and cert-manager write the caBundles, which are not.
const fieldManager = "drey-install"

// Apply applies the stages, one after the other: definitions are established, and the
// server is ready, before the next. An error leaves what was applied: Apply again goes
// on from there. Nothing is applied if something of the cluster's has one of drey's names
// and is not drey's.
func (r *Rollout) Apply(ctx context.Context, stages []bundle.Stage) error {
	for _, stage := range stages {
		for _, o := range stage.Objects {
			if err := r.isFree(ctx, o); err != nil {
				return err
			}
		}
	}
	for _, stage := range stages {
		for _, o := range stage.Objects {
			if err := r.apply(ctx, o); err != nil {
				return err
			}
		}
		if r.dry() {
			continue
		}
		for _, o := range stage.Objects {
			if err := r.await(ctx, o); err != nil {
				return err
			}
		}
	}
	return nil
}

// isFree looks whether an object may be applied: of what is the cluster's, somebody may
// have another of the name, into which drey's would be merged.
func (r *Rollout) isFree(ctx context.Context, o bundle.Object) error {
	if o.GetNamespace() != "" || o.GetKind() == "Namespace" || o.GetKind() == "CustomResourceDefinition" {
		return nil
	}
	found, err := r.find(ctx, o)
	if err != nil {
		return err
	}
	if found != nil && !isDreys(found) {
		return fmt.Errorf("%[1]s is not drey's, for it lacks the label %[2]s=%[3]s, and nothing was changed. If nobody needs it: kubectl delete %[1]s. If it is drey's all the same: kubectl label %[1]s %[2]s=%[3]s", o, nameLabel, bundle.Name)
	}
	return nil
}

// find returns what the cluster has of an object's name; nil if nothing.
func (r *Rollout) find(ctx context.Context, o bundle.Object) (*unstructured.Unstructured, error) {
	found, err := r.of(o).Get(ctx, o.GetName(), metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("look for %s: %w", o, err)
	}
	return found, nil
}

const nameLabel = "app.kubernetes.io/name"

func isDreys(found *unstructured.Unstructured) bool {
	return found.GetLabels()[nameLabel] == bundle.Name
}

func (r *Rollout) apply(ctx context.Context, o bundle.Object) error {
	before, _ := r.find(ctx, o) // for people alone: it is applied in any case
	kept, err := r.of(o).Apply(ctx, o.GetName(), o.Unstructured, metav1.ApplyOptions{FieldManager: fieldManager, Force: true, DryRun: r.dryRun})
	switch {
	case r.dry() && apierrors.IsNotFound(err) && o.GetNamespace() != "":
		r.tell(o.String(), "would be applied; its namespace is not there yet")
		return nil
	case err != nil:
		return fmt.Errorf("apply %s: %w", o, err)
	case r.dry():
		r.tell(o.String(), "would be applied")
	case before == nil || changed(before, kept):
		r.tell(o.String(), "applied")
	default:
		r.tell(o.String(), "up to date")
	}
	return nil
}

// changed tells whether what is asked for has changed: of kinds without a generation,
// whether anything has.
func changed(before, after *unstructured.Unstructured) bool {
	if after.GetGeneration() > 0 {
		return before.GetGeneration() != after.GetGeneration()
	}
	return before.GetResourceVersion() != after.GetResourceVersion()
}

func (r *Rollout) of(o bundle.Object) dynamic.ResourceInterface {
	return r.client.Resource(o.Resource()).Namespace(o.GetNamespace())
}

// await waits until what comes next can rely on an object.
func (r *Rollout) await(ctx context.Context, o bundle.Object) error {
	var done func(*unstructured.Unstructured) error
	var hint string
	switch o.GetKind() {
	case "CustomResourceDefinition":
		done, hint = established, "kubectl describe crd "+o.GetName()
	case "Deployment":
		r.tell(o.String(), "is awaited")
		done, hint = rolledOut, fmt.Sprintf("kubectl describe pods -n %s, and kubectl logs -n %s %s. Nothing calls drey yet, so nothing is refused; run drey install again to go on", o.GetNamespace(), o.GetNamespace(), o)
	default:
		return nil
	}
	last, pause := errors.New("it was not seen"), newPause()
	for {
		found, err := r.of(o).Get(ctx, o.GetName(), metav1.GetOptions{})
		if err == nil {
			err = done(found)
		}
		if err == nil {
			r.tell(o.String(), "is ready")
			return nil
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w. See %s (%w)", o, last, hint, ctx.Err())
		case <-time.After(pause()):
		}
	}
}

// newPause returns how long to wait before each look.
func newPause() wait.DelayFunc {
	return wait.Backoff{Duration: 100 * time.Millisecond, Factor: 1.5, Jitter: 0.5, Steps: 10, Cap: 2 * time.Second}.DelayFunc()
}

func established(o *unstructured.Unstructured) error {
	conditions, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	for _, c := range conditions {
		if c, ok := c.(map[string]any); ok && c["type"] == "Established" && c["status"] == "True" {
			return nil
		}
	}
	return errors.New("the API server does not serve it yet")
}

// rolledOut is what kubectl rollout status goes by.
func rolledOut(o *unstructured.Unstructured) error {
	status := func(field string) int64 {
		n, _, _ := unstructured.NestedInt64(o.Object, "status", field)
		return n
	}
	want, found, _ := unstructured.NestedInt64(o.Object, "spec", "replicas")
	if !found {
		want = 1
	}
	switch {
	case status("observedGeneration") < o.GetGeneration():
		return errors.New("the change has not been seen yet")
	case status("updatedReplicas") < want:
		return fmt.Errorf("%d of %d replicas are made", status("updatedReplicas"), want)
	case status("replicas") > status("updatedReplicas"):
		return fmt.Errorf("%d old replicas have not ended", status("replicas")-status("updatedReplicas"))
	case status("availableReplicas") < want:
		return fmt.Errorf("%d of %d replicas are available", status("availableReplicas"), want)
	}
	return nil
}
