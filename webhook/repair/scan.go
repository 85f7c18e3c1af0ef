package repair

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"drey.dev/drey/webhook/flink"
)

// page is how many objects are read at once: what bounds memory.
const page = 200

// Scan looks at everything in a Kubernetes namespace, or in all if it is empty, that
// drey would be asked about: pods, what makes them, and Flink's custom resources. It
// calls visit for each that is Flink's, and for what of them cannot be read. Kinds
// that the cluster does not serve have nothing.
func (i *Inspector) Scan(ctx context.Context, namespace string, visit func(Finding)) error {
	for _, resource := range scanned {
		err := i.scan(ctx, resource, namespace, visit)
		if err != nil && i.Skip != nil && slices.Contains(customResources, resource) && i.Skip(resource, err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("list %s: %w", resource.Resource, err)
		}
	}
	return nil
}

var scanned = slices.Concat([]schema.GroupVersionResource{
	{Group: "apps", Version: "v1", Resource: "deployments"}, {Group: "apps", Version: "v1", Resource: "statefulsets"},
	{Group: "batch", Version: "v1", Resource: "jobs"}, {Group: "batch", Version: "v1", Resource: "cronjobs"},
}, customResources, []schema.GroupVersionResource{pods})

var customResources = func() (all []schema.GroupVersionResource) {
	for _, c := range flink.CustomResources {
		all = append(all, schema.GroupVersionResource{Group: c.Group, Version: c.Version, Resource: c.Resource})
	}
	return all
}()

func (i *Inspector) scan(ctx context.Context, resource schema.GroupVersionResource, namespace string, visit func(Finding)) error {
	options := metav1.ListOptions{Limit: page}
	for {
		list, err := i.Client.Resource(resource).Namespace(namespace).List(ctx, options)
		if errors.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return err
		}
		for n := range list.Items {
			o := &list.Items[n]
			if slices.Contains(i.Exclude, o.GetNamespace()) {
				continue
			}
			f, err := i.look(ctx, o)
			if err != nil {
				return fmt.Errorf("%s/%s: %w", o.GetNamespace(), o.GetName(), err)
			}
			if f.Verdict.Workload().Recognized() {
				visit(f)
			}
		}
		if options.Continue = list.GetContinue(); options.Continue == "" {
			return nil
		}
	}
}
