package rollout

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"drey.dev/drey/denials"
	"drey.dev/drey/manifests/bundle"
	"drey.dev/drey/webhook/config"
)

// Removal selects what to remove.
type Removal struct {
	Namespace     string // drey's own
	AdmissionOnly bool   // only webhook configurations and policies: drey keeps running
	Purge         bool   // the registry too: custom resources, their definitions, the volume
}

// Remove removes drey: webhook configurations and policies first, then the server, its RBAC,
// and its namespace. It skips objects without drey's label. It keeps labels on pods, and the
// ServiceAccounts and roles of Flink jobs in the namespaces of targets, since running jobs
// use them. found is false if there was nothing to remove or to keep.
func (r *Rollout) Remove(ctx context.Context, removal Removal) (found bool, err error) {
	stages, err := allVariants(removal.Namespace)
	if err != nil {
		return false, err
	}
	counting := *r
	counting.report = func(object, result string) {
		found = true
		r.report(object, result)
	}
	configuration, err := r.client.Resource(schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingwebhookconfigurations"}).Get(ctx, config.Name, metav1.GetOptions{})
	if err == nil {
		if _, url := Server(configuration); url != "" {
			counting.report(url, "is a drey outside the cluster: stop it, else it labels namespaces, and registers its webhooks at the next start")
		}
	}
	return found, counting.removeStages(ctx, stages, removal)
}

func (r *Rollout) removeStages(ctx context.Context, stages []bundle.Stage, removal Removal) error {
	for _, stage := range slices.Backward(stages) {
		if stage.Name != bundle.Admission && removal.AdmissionOnly {
			break
		}
		for _, o := range slices.Backward(stage.Objects) {
			if o.GetKind() == "Namespace" {
				if err := r.removeNamespace(ctx, o, removal.Purge); err != nil {
					return err
				}
				continue
			}
			if !removal.Purge && (o.GetKind() == "CustomResourceDefinition" || o.GetKind() == "PersistentVolumeClaim") {
				if _, err := r.resource(o).Get(ctx, o.GetName(), metav1.GetOptions{}); err == nil {
					r.report(o.String(), "kept: it holds the registry; --purge removes it")
				}
				continue
			}
			if err := r.remove(ctx, o); err != nil {
				return err
			}
		}
		if stage.Name == bundle.Server && !r.dry() { // no running drey sets the labels again
			if err := r.awaitNoPods(ctx, removal.Namespace); err != nil {
				return err
			}
			if err := r.removeNamespaceLabels(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// allVariants returns the objects of all variants.
func allVariants(namespace string) ([]bundle.Stage, error) {
	var all []bundle.Stage
	for _, store := range []string{bundle.Kubernetes, bundle.Embedded} {
		o := bundle.Defaults()
		o.Namespace, o.Store, o.Replicas, o.Mode = namespace, store, 1, "audit" // has the most bindings
		stages, err := bundle.Stages(o)
		if err != nil {
			return nil, err
		}
		if all == nil {
			all = stages
			continue
		}
		for i, stage := range stages {
			for _, o := range stage.Objects {
				if !slices.ContainsFunc(all[i].Objects, func(have bundle.Object) bool {
					return have.String() == o.String() && have.GetNamespace() == o.GetNamespace()
				}) {
					all[i].Objects = append(all[i].Objects, o)
				}
			}
		}
	}
	return all, nil
}

// Names returns the objects that Remove removes, in its order: TYPE/NAME, and the namespace,
// which may be empty.
func Names(removal Removal) ([][2]string, error) {
	stages, err := allVariants(removal.Namespace)
	if err != nil {
		return nil, err
	}
	var all [][2]string
	for _, stage := range slices.Backward(stages) {
		if stage.Name != bundle.Admission && removal.AdmissionOnly {
			break
		}
		for _, o := range slices.Backward(stage.Objects) {
			if kind := o.GetKind(); removal.Purge || kind != "CustomResourceDefinition" && kind != "PersistentVolumeClaim" && kind != "Namespace" {
				all = append(all, [2]string{o.String(), o.GetNamespace()})
			}
		}
	}
	return all, nil
}

func (r *Rollout) remove(ctx context.Context, o bundle.Object) error {
	found, err := r.find(ctx, o)
	switch {
	case err != nil || found == nil:
		return err
	case o.GetKind() != "CustomResourceDefinition" && !isOwned(found):
		r.report(o.String(), "kept: it lacks the label "+nameLabel+"="+bundle.Name)
		return nil
	}
	uid := found.GetUID()
	err = r.resource(o).Delete(ctx, o.GetName(), metav1.DeleteOptions{
		PropagationPolicy: new(metav1.DeletePropagationBackground), Preconditions: &metav1.Preconditions{UID: &uid}, DryRun: r.dryRun,
	})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete %s: %w", o, err)
	}
	if r.dry() {
		r.report(o.String(), "would be removed")
		return nil
	}
	r.report(o.String(), "removed")
	return nil
}

// removeNamespace deletes drey's namespace with everything in it, or only drey's Secrets and
// leases if the namespace lacks drey's label or has the registry's volume.
func (r *Rollout) removeNamespace(ctx context.Context, o bundle.Object, purge bool) error {
	volumes := r.client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "persistentvolumeclaims"}).Namespace(o.GetName())
	if _, err := volumes.Get(ctx, bundle.Name, metav1.GetOptions{}); err == nil && !purge {
		r.report(o.String(), "kept: it has the volume of the registry; --purge removes both")
		return r.removeCreated(ctx, o.GetName())
	}
	if found, err := r.resource(o).Get(ctx, o.GetName(), metav1.GetOptions{}); err == nil && !isOwned(found) {
		if err := errors.Join(r.removeCreated(ctx, o.GetName()), r.releaseNamespace(ctx, o)); err != nil {
			return err
		}
	}
	if err := r.remove(ctx, o); err != nil || r.dry() {
		return err
	}
	return r.until(ctx, o.String()+" is not deleted", func() error {
		switch found, err := r.resource(o).Get(ctx, o.GetName(), metav1.GetOptions{}); {
		case apierrors.IsNotFound(err):
			return nil
		case err != nil:
			return err
		case found.GetDeletionTimestamp() == nil:
			return nil // without drey's label
		}
		return errors.New("finalizers block it: see kubectl get namespace " + o.GetName() + " -o yaml")
	})
}

// releaseNamespace removes the labels that Apply set on a namespace that stays.
func (r *Rollout) releaseNamespace(ctx context.Context, o bundle.Object) error {
	empty := &unstructured.Unstructured{}
	empty.SetGroupVersionKind(o.GroupVersionKind())
	empty.SetName(o.GetName())
	if _, err := r.resource(o).Apply(ctx, o.GetName(), empty, metav1.ApplyOptions{FieldManager: fieldManager, Force: true, DryRun: r.dryRun}); err != nil {
		return fmt.Errorf("remove the labels of %s: %w", o, err)
	}
	return nil
}

// removeCreated deletes the objects that a running drey created in a namespace that stays.
func (r *Rollout) removeCreated(ctx context.Context, namespace string) error {
	for resource, names := range map[schema.GroupVersionResource][]string{
		{Group: "coordination.k8s.io", Version: "v1", Resource: "leases"}: {bundle.Name, "drey-certs"},
		{Version: "v1", Resource: "secrets"}:                              {"drey-certs", bundle.ConsoleSecret},
		{Version: "v1", Resource: "configmaps"}:                           {denials.ConfigMapName},
	} {
		for _, name := range names {
			err := r.client.Resource(resource).Namespace(namespace).Delete(ctx, name, metav1.DeleteOptions{DryRun: r.dryRun})
			if err != nil && !apierrors.IsNotFound(err) {
				return fmt.Errorf("delete %s %s/%s: %w", resource.Resource, namespace, name, err)
			}
		}
	}
	return nil
}

func (r *Rollout) awaitNoPods(ctx context.Context, namespace string) error {
	pods := r.client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "pods"}).Namespace(namespace)
	return r.until(ctx, "drey is not stopped", func() error {
		list, err := pods.List(ctx, metav1.ListOptions{LabelSelector: nameLabel + "=" + bundle.Name})
		if err == nil && len(list.Items) > 0 {
			err = fmt.Errorf("pods remain: kubectl get pods -n %s", namespace)
		}
		return err
	})
}

// removeNamespaceLabels removes config.LabelRegistered from all namespaces. It retries, since
// the API server applies deleted policies and webhooks for a short time.
func (r *Rollout) removeNamespaceLabels(ctx context.Context) error {
	namespaces := r.client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "namespaces"})
	list, err := namespaces.List(ctx, metav1.ListOptions{LabelSelector: config.LabelRegistered})
	if err != nil {
		return fmt.Errorf("list registered namespaces: %w", err)
	}
	for _, n := range list.Items {
		if err := r.until(ctx, "the label of namespace "+n.GetName()+" is not removed", func() error { return r.removeNamespaceLabel(ctx, n) }); err != nil {
			return err
		}
		r.report("namespace/"+n.GetName(), "label "+config.LabelRegistered+" removed")
	}
	return nil
}

func (r *Rollout) removeNamespaceLabel(ctx context.Context, n unstructured.Unstructured) error {
	namespaces := r.client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "namespaces"})
	patched, err := namespaces.Patch(ctx, n.GetName(), types.MergePatchType, []byte(`{"metadata":{"labels":{"`+config.LabelRegistered+`":null}}}`), metav1.PatchOptions{FieldManager: fieldManager})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err == nil && patched.GetLabels()[config.LabelRegistered] != "" {
		err = errors.New("the deleted webhook still resets it")
	}
	return err
}

// until polls check until it returns nil.
func (r *Rollout) until(ctx context.Context, failed string, check func() error) error {
	delay := newBackoff()
	for {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", failed, err)
		case <-time.After(delay()):
		}
	}
}
