package workloads

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"drey.dev/drey/registry"
	"drey.dev/drey/webhook/flink"
)

// customPage is how many whole custom resources are read at once: it bounds memory.
const customPage = 50

// customResources returns the custom resources of one kind that belong to a platform
// namespace: by their label, or by that of their pod templates. One that states no
// platform namespace may belong to any, so it is returned for each. Terminating ones
// are left out: they start nothing. A kind that the cluster does not serve has none.
func (c *Cluster) customResources(ctx context.Context, kind flink.CustomResource, kubernetesNamespace, platformNamespace string) ([]registry.Reference, error) {
	resource := schema.GroupVersionResource{Group: kind.Group, Version: kind.Version, Resource: kind.Resource}
	var found []registry.Reference
	keep := func(o metav1.Object) {
		if o.GetDeletionTimestamp() == nil {
			found = append(found, registry.Reference{Kind: kind.Kind, Name: o.GetName()})
		}
	}
	// The label is only ever added: an object that gets it between the two lists is in
	// both, and never in neither.
	err := c.eachUnlabeled(ctx, resource, kubernetesNamespace, platformNamespace, keep)
	if err == nil {
		err = c.eachLabeled(ctx, resource, kubernetesNamespace, platformNamespace, keep)
	}
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case apierrors.IsForbidden(err) && !c.serves(resource):
		return nil, nil // RBAC is checked before the kind is looked up
	case err != nil:
		return nil, fmt.Errorf("list %s: %w", resource.GroupResource(), err)
	}
	slices.SortFunc(found, func(a, b registry.Reference) int { return cmp.Compare(a.Name, b.Name) })
	return slices.Compact(found), nil
}

// eachLabeled calls f with the metadata of what carries a platform namespace's label.
func (c *Cluster) eachLabeled(ctx context.Context, resource schema.GroupVersionResource, namespace, platformNamespace string, f func(metav1.Object)) error {
	options := metav1.ListOptions{LabelSelector: flink.LabelPlatformNamespace + "=" + platformNamespace, Limit: 500}
	for {
		page, err := c.client.Resource(resource).Namespace(namespace).List(ctx, options)
		if err != nil {
			return err
		}
		for i := range page.Items {
			f(&page.Items[i])
		}
		if options.Continue = page.Continue; options.Continue == "" {
			return nil
		}
	}
}

// eachUnlabeled calls f with what belongs to a platform namespace without its label.
// These are few, for drey labels custom resources at creation, and are read whole.
func (c *Cluster) eachUnlabeled(ctx context.Context, resource schema.GroupVersionResource, namespace, platformNamespace string, f func(metav1.Object)) error {
	options := metav1.ListOptions{LabelSelector: flink.LabelPlatformNamespace + "!=" + platformNamespace, Limit: customPage}
	for {
		page, err := c.dynamic.Resource(resource).Namespace(namespace).List(ctx, options)
		if err != nil {
			return err
		}
		for i := range page.Items {
			o := &page.Items[i]
			if belongs(o, platformNamespace) {
				f(o)
			}
		}
		if options.Continue = page.GetContinue(); options.Continue == "" {
			return nil
		}
	}
}

// templates are the paths of the label in the pod templates of a custom resource: common and by role,
// and those of a FlinkBlueGreenDeployment.
var templates = func() (paths [][]string) {
	for _, spec := range [][]string{{"spec"}, {"spec", "template", "spec"}} {
		for _, template := range [][]string{{"podTemplate"}, {"jobManager", "podTemplate"}, {"taskManager", "podTemplate"}} {
			paths = append(paths, slices.Concat(spec, template, []string{"metadata", "labels", flink.LabelPlatformNamespace}))
		}
	}
	return paths
}()

// belongs reports whether a custom resource without the label of a platform namespace may belong to
// it: a pod template has the label, or neither has any.
func belongs(o *unstructured.Unstructured, platformNamespace string) bool {
	stated := o.GetLabels()[flink.LabelPlatformNamespace] != ""
	for _, path := range templates {
		value, _, _ := unstructured.NestedString(o.Object, path...) // other types are no label
		if value == platformNamespace {
			return true
		}
		stated = stated || value != ""
	}
	return !stated
}

// serves reports whether the cluster serves a resource; true if discovery fails.
func (c *Cluster) serves(resource schema.GroupVersionResource) bool {
	list, err := c.discovery.ServerResourcesForGroupVersion(resource.GroupVersion().String())
	if apierrors.IsNotFound(err) {
		return false
	}
	if err != nil {
		return true
	}
	return slices.ContainsFunc(list.APIResources, func(r metav1.APIResource) bool { return r.Name == resource.Resource })
}
