// Package rollout installs the objects of package bundle in a cluster, and removes them, in
// an order in which no request fails for lack of a running drey.
package rollout

import (
	"context"
	"errors"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"drey.dev/drey/manifests/bundle"
	"drey.dev/drey/manifests/readiness"
	"drey.dev/drey/webhook/config"
)

// Rollout installs into and removes from one cluster.
type Rollout struct {
	client  dynamic.Interface
	version func() (string, error) // of the API server
	dryRun  []string
	report  func(object, result string)
}

// New returns a Rollout for the cluster of a client configuration. With dryRun all writes are
// dry runs. report is called with the result for each object.
func New(kubeconfig *rest.Config, dryRun bool, report func(object, result string)) (*Rollout, error) {
	kubeconfig = rest.CopyConfig(kubeconfig)
	kubeconfig.QPS, kubeconfig.Burst = 50, 100
	client, err := dynamic.NewForConfig(kubeconfig)
	if err != nil {
		return nil, err
	}
	api, err := discovery.NewDiscoveryClientForConfig(kubeconfig)
	if err != nil {
		return nil, err
	}
	r := &Rollout{client: client, report: report, version: func() (string, error) {
		info, err := api.ServerVersion()
		if err != nil {
			return "", err
		}
		return info.GitVersion, nil
	}}
	if dryRun {
		r.dryRun = []string{metav1.DryRunAll}
	}
	return r, nil
}

func (r *Rollout) dry() bool { return len(r.dryRun) > 0 }

// fieldManager owns the fields that bundle sets. drey and cert-manager own the caBundles.
const fieldManager = "drey-install"

// Apply applies the stages in order by server-side apply, and waits until definitions are
// established and the server is ready before the next stage. After an error, Apply again
// continues. Nothing is applied if a cluster-scoped object has one of drey's names and lacks
// its label.
func (r *Rollout) Apply(ctx context.Context, stages []bundle.Stage) error {
	for _, stage := range stages {
		for _, o := range stage.Objects {
			if err := r.checkOwner(ctx, o); err != nil {
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

// checkOwner returns an error if the cluster has a cluster-scoped object of the name without
// drey's label, into which drey's would be merged.
func (r *Rollout) checkOwner(ctx context.Context, o bundle.Object) error {
	if o.GetNamespace() != "" || o.GetKind() == "Namespace" || o.GetKind() == "CustomResourceDefinition" {
		return nil
	}
	found, err := r.find(ctx, o)
	if err != nil {
		return err
	}
	if found != nil && !isOwned(found) {
		return errForeign(o)
	}
	return nil
}

// errForeign says that the cluster has an object of the name without drey's label.
func errForeign(o bundle.Object) error {
	in := ""
	if o.GetNamespace() != "" {
		in = " -n " + o.GetNamespace()
	}
	return fmt.Errorf("%[1]s lacks the label %[2]s=%[3]s: nothing was changed; if it is not needed: kubectl delete %[1]s%[4]s; if it is drey's: kubectl label %[1]s%[4]s %[2]s=%[3]s", o, nameLabel, bundle.Name, in)
}

// find returns the object in the cluster, or nil if it does not exist.
func (r *Rollout) find(ctx context.Context, o bundle.Object) (*unstructured.Unstructured, error) {
	found, err := r.resource(o).Get(ctx, o.GetName(), metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", o, err)
	}
	return found, nil
}

const nameLabel = "app.kubernetes.io/name"

func isOwned(found *unstructured.Unstructured) bool {
	return found.GetLabels()[nameLabel] == bundle.Name
}

func (r *Rollout) apply(ctx context.Context, o bundle.Object) error {
	before, _ := r.find(ctx, o) // for the report, and for the label of a namespace
	if o.GetKind() == "Namespace" && before != nil && !isOwned(before) {
		o = o.Without(nameLabel) // drey uninstall keeps a namespace of others
	}
	after, err := r.resource(o).Apply(ctx, o.GetName(), o.Unstructured, metav1.ApplyOptions{FieldManager: fieldManager, Force: true, DryRun: r.dryRun})
	switch {
	case r.dry() && apierrors.IsNotFound(err) && o.GetNamespace() != "":
		r.report(o.String(), "would be applied; its namespace does not exist yet")
		return nil
	case err != nil:
		return fmt.Errorf("apply %s: %w", o, err)
	case r.dry():
		r.report(o.String(), "would be applied")
	case before == nil || changed(before, after):
		r.report(o.String(), "applied")
	default:
		r.report(o.String(), "up to date")
	}
	return nil
}

// changed reports whether the desired state has changed, by generation, or by
// resourceVersion for kinds without one.
func changed(before, after *unstructured.Unstructured) bool {
	if after.GetGeneration() > 0 {
		return before.GetGeneration() != after.GetGeneration()
	}
	return before.GetResourceVersion() != after.GetResourceVersion()
}

func (r *Rollout) resource(o bundle.Object) dynamic.ResourceInterface {
	return r.client.Resource(o.Resource()).Namespace(o.GetNamespace())
}

// await waits until a definition is established, or a Deployment is rolled out.
func (r *Rollout) await(ctx context.Context, o bundle.Object) error {
	var done func(*unstructured.Unstructured) error
	var hint string
	switch o.GetKind() {
	case "CustomResourceDefinition":
		done, hint = established, "kubectl describe crd "+o.GetName()
	case "Deployment":
		r.report(o.String(), "is starting")
		done, hint = rolledOut, fmt.Sprintf("kubectl describe pods -n %s, and kubectl logs -n %s %s; %s; run drey install again to continue", o.GetNamespace(), o.GetNamespace(), o, r.effect(ctx))
	default:
		return nil
	}
	last, delay := errors.New("not read yet"), newBackoff()
	reported := map[string]bool{}
	for {
		found, err := r.resource(o).Get(ctx, o.GetName(), metav1.GetOptions{})
		if err == nil {
			err = done(found)
		}
		if err != nil && found != nil && o.GetKind() == "Deployment" {
			for _, obstacle := range r.obstacles(ctx, found) {
				if text := obstacle.String(); !reported[text] {
					reported[text] = true
					r.report(o.String(), "is waiting: "+text)
				}
				err = fmt.Errorf("%w: %s; %s", err, obstacle, obstacle.Fix)
			}
		}
		if err == nil {
			r.report(o.String(), "is ready")
			return nil
		}
		if apierrors.IsForbidden(err) {
			return fmt.Errorf("get %s: %w", o, err)
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w; see %s (%w)", o, last, hint, ctx.Err())
		case <-time.After(delay()):
		}
	}
}

// effect describes what a server that is not ready means for workloads.
func (r *Rollout) effect(ctx context.Context) string {
	webhooks := r.client.Resource(schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingwebhookconfigurations"})
	switch _, err := webhooks.Get(ctx, config.Name, metav1.GetOptions{}); {
	case apierrors.IsNotFound(err):
		return "the webhooks are not installed yet, so nothing is denied"
	case err != nil:
		return "whether the webhooks are installed is unknown"
	}
	return "the webhooks are installed: replicas of the previous version serve them while they are ready, and without one new Flink workloads are denied"
}

// obstacles returns what a Deployment waits for; none if its pods cannot be read.
func (r *Rollout) obstacles(ctx context.Context, found *unstructured.Unstructured) []readiness.Obstacle {
	var d appsv1.Deployment
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(found.Object, &d); err != nil {
		return nil
	}
	selector, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
	if err != nil {
		return nil
	}
	list, err := r.client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "pods"}).Namespace(d.Namespace).List(ctx, metav1.ListOptions{LabelSelector: selector.String()})
	if err != nil {
		return nil
	}
	var pods []corev1.Pod
	for _, item := range list.Items {
		var p corev1.Pod
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(item.Object, &p); err == nil {
			pods = append(pods, p)
		}
	}
	return readiness.Obstacles(&d, pods)
}

// newBackoff returns the delays between polls.
func newBackoff() wait.DelayFunc {
	return wait.Backoff{Duration: 100 * time.Millisecond, Factor: 1.5, Jitter: 0.5, Steps: 10, Cap: 2 * time.Second}.DelayFunc()
}

func established(o *unstructured.Unstructured) error {
	conditions, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	for _, c := range conditions {
		if c, ok := c.(map[string]any); ok && c["type"] == "Established" && c["status"] == "True" {
			return nil
		}
	}
	return errors.New("not established")
}

// rolledOut applies the conditions of kubectl rollout status.
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
		return errors.New("the change is not observed yet")
	case status("updatedReplicas") < want:
		return fmt.Errorf("%d of %d replicas are updated", status("updatedReplicas"), want)
	case status("replicas") > status("updatedReplicas"):
		return fmt.Errorf("replicas of the previous version are terminating: %d", status("replicas")-status("updatedReplicas"))
	case status("availableReplicas") < want:
		return fmt.Errorf("%d of %d replicas are available", status("availableReplicas"), want)
	}
	return nil
}
