package repair

import (
	"context"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"drey.dev/drey/webhook/flink"
	"drey.dev/drey/webhook/verdict"
)

const (
	pageSize    = 200              // objects per list request
	pageTimeout = 30 * time.Second // bounds one list request
)

// source is a kind of objects that is inspected.
type source struct {
	resource     schema.GroupVersionResource
	kind         string
	metadataOnly bool // recognized by metadata: the rest is not read
	labeled      bool // admission labels it, so repair does too
	custom       bool
}

var (
	pods      = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	podSource = source{resource: pods, kind: "Pod", labeled: true}
)

// sources are the kinds that admission sees except pods, owners before their dependents.
var sources = func() (all []source) {
	for _, c := range flink.CustomResources {
		all = append(all, source{
			resource: schema.GroupVersionResource{Group: c.Group, Version: c.Version, Resource: c.Resource}, kind: c.Kind, custom: true,
			// The operator of FlinkApplications copies their labels into pod templates and selectors,
			// and hashes these: a label that is added later would redeploy the job.
			labeled: c.Kind != "FlinkApplication",
		})
	}
	apps, batch := schema.GroupVersion{Group: "apps", Version: "v1"}, schema.GroupVersion{Group: "batch", Version: "v1"}
	core := schema.GroupVersion{Version: "v1"}
	return append(all,
		source{resource: apps.WithResource("deployments"), kind: "Deployment", labeled: true},
		source{resource: apps.WithResource("statefulsets"), kind: "StatefulSet", labeled: true},
		source{resource: batch.WithResource("cronjobs"), kind: "CronJob"}, // admission labels its Jobs
		source{resource: batch.WithResource("jobs"), kind: "Job", labeled: true},
		source{resource: core.WithResource("services"), kind: "Service", metadataOnly: true, labeled: true},
		source{resource: core.WithResource("configmaps"), kind: "ConfigMap", metadataOnly: true, labeled: true},
	)
}()

// unlabeled are the selectors of objects that lack a label of every admitted object. They
// are disjoint.
var unlabeled = []string{
	"!" + verdict.LabelSystem,
	verdict.LabelSystem + ",!" + verdict.LabelPlatformNamespace,
	verdict.LabelSystem + "," + verdict.LabelPlatformNamespace + ",!" + verdict.LabelKind,
}

// Scan inspects the objects in a Kubernetes namespace, or in all if it is empty, that the
// webhooks cover: pods, workloads, Flink's custom resources, and Services and ConfigMaps
// that lack labels. It calls visit for each Flink object, and for each other one with labels
// of another object. It skips kinds that the cluster does not serve.
func (i *Inspector) Scan(ctx context.Context, namespace string, visit func(Finding)) error {
	for _, s := range append(slices.Clone(sources), podSource) {
		selectors := []string{""}
		if s.metadataOnly { // only labels matter
			selectors = unlabeled
		}
		err := i.scan(ctx, s, namespace, selectors, func(f Finding) error { visit(f); return nil })
		if err != nil && i.Skip != nil && (s.custom || s.metadataOnly) && i.Skip(s.resource, err) {
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Unlabeled calls visit for the Flink objects in a namespace that lack labels, except pods:
// workloads, custom resources, Services and ConfigMaps. It continues after a failure of one
// kind or object. With wait, an object that [Finding.AwaitsOwner] is a failure, to be
// retried.
func (i *Inspector) Unlabeled(ctx context.Context, namespace string, wait bool, visit func(Finding) error) error {
	var failed failures
	for _, s := range sources {
		if !s.labeled {
			continue
		}
		err := i.scan(ctx, s, namespace, unlabeled, func(f Finding) error {
			switch {
			case len(f.Missing()) == 0:
			case f.awaitsOwner && wait:
				failed.add(fmt.Errorf("label %s %s/%s: %w", s.kind, namespace, f.Verdict.Object().Name, errAwaitsOwner))
			default:
				failed.add(visit(f))
			}
			return ctx.Err()
		})
		failed.add(err)
	}
	return failed.err()
}

// failures holds the first of many errors, which are mostly alike, and their number.
type failures struct {
	first error
	count int
}

func (f *failures) add(err error) {
	if err == nil {
		return
	}
	if f.first == nil {
		f.first = err
	}
	f.count++
}

func (f *failures) err() error {
	if f.count > 1 {
		return fmt.Errorf("%w (and %d more failures)", f.first, f.count-1)
	}
	return f.first
}

// scan lists the objects of one kind by pages, and inspects each.
func (i *Inspector) scan(ctx context.Context, s source, namespace string, selectors []string, visit func(Finding) error) error {
	for _, selector := range selectors {
		options := metav1.ListOptions{LabelSelector: selector, Limit: pageSize}
		for {
			objects, next, err := i.list(ctx, s, namespace, options)
			if apierrors.IsNotFound(err) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("list %s: %w", s.resource.Resource, err)
			}
			for _, o := range objects {
				if slices.Contains(i.Exclude, o.GetNamespace()) {
					continue
				}
				f, err := i.inspect(ctx, s, o)
				if err != nil {
					return fmt.Errorf("%s %s/%s: %w", s.kind, o.GetNamespace(), o.GetName(), err)
				}
				if f.Verdict.Allowed && !f.Verdict.Workload().Recognized() {
					continue
				}
				if err := visit(f); err != nil {
					return err
				}
			}
			if options.Continue = next; next == "" {
				break
			}
		}
	}
	return nil
}

// list reads one page, of Services and ConfigMaps only the metadata.
func (i *Inspector) list(ctx context.Context, s source, namespace string, options metav1.ListOptions) (objects []metav1.Object, next string, err error) {
	ctx, cancel := context.WithTimeout(ctx, pageTimeout)
	defer cancel()
	if s.metadataOnly {
		list, err := i.Metadata.Resource(s.resource).Namespace(namespace).List(ctx, options)
		if err != nil {
			return nil, "", err
		}
		for n := range list.Items {
			objects = append(objects, &list.Items[n])
		}
		return objects, list.Continue, nil
	}
	list, err := i.Client.Resource(s.resource).Namespace(namespace).List(ctx, options)
	if err != nil {
		return nil, "", err
	}
	for n := range list.Items {
		objects = append(objects, &list.Items[n])
	}
	return objects, list.GetContinue(), nil
}
