package repair

import (
	"context"
	"fmt"
	"maps"
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
		err := i.scan(ctx, s, namespace, selectors, nil, func(f Finding) error { visit(f); return nil })
		if err != nil && i.Skip != nil && (s.custom || s.metadataOnly) && i.Skip(s.resource, err) {
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// together is the number of namespaces from which lists of the whole cluster take fewer requests than
// lists of each namespace: about 20 a namespace.
const together = 10

// Unlabeled calls visit for the Flink objects in namespaces that lack labels, except pods:
// workloads, custom resources, Services and ConfigMaps. It continues after a failure of one
// kind or object. With wait, an object that [Finding.AwaitsOwner] is a failure, to be
// retried.
//
// It lists many namespaces together: of Services and ConfigMaps the metadata in the whole cluster,
// and of the other kinds only in namespaces in which such a list shows unlabeled objects.
func (i *Inspector) Unlabeled(ctx context.Context, namespaces []string, wait bool, visit func(Finding) error) error {
	var failed failures
	wanted := make(map[string]bool, len(namespaces))
	for _, namespace := range namespaces {
		wanted[namespace] = true
	}
	for _, s := range sources {
		if !s.labeled {
			continue
		}
		check := func(f Finding) error {
			switch {
			case len(f.Missing()) == 0:
			case f.awaitsOwner && wait:
				failed.add(fmt.Errorf("label %s %s/%s: %w", s.kind, f.Verdict.Object().Namespace, f.Verdict.Object().Name, errAwaitsOwner))
			default:
				failed.add(visit(f))
			}
			return ctx.Err()
		}
		if len(namespaces) >= together && s.metadataOnly {
			failed.add(i.scan(ctx, s, metav1.NamespaceAll, unlabeled, wanted, check))
			continue
		}
		within := namespaces
		if len(namespaces) >= together {
			var err error
			if within, err = i.unlabeledIn(ctx, s, wanted); err != nil {
				failed.add(err)
				continue
			}
		}
		for _, namespace := range within {
			failed.add(i.scan(ctx, s, namespace, unlabeled, nil, check))
		}
	}
	return failed.err()
}

// unlabeledIn returns which of the wanted namespaces have objects of a kind that lack labels. It reads
// only metadata.
func (i *Inspector) unlabeledIn(ctx context.Context, s source, wanted map[string]bool) ([]string, error) {
	found := map[string]bool{}
	s.metadataOnly = true
	for _, selector := range unlabeled {
		err := i.each(ctx, s, metav1.NamespaceAll, selector, func(o metav1.Object) error {
			if wanted[o.GetNamespace()] {
				found[o.GetNamespace()] = true
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return slices.Sorted(maps.Keys(found)), nil
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

// scan lists the objects of one kind by pages, and inspects each. wanted are the namespaces to
// inspect; nil: all.
func (i *Inspector) scan(ctx context.Context, s source, namespace string, selectors []string, wanted map[string]bool, visit func(Finding) error) error {
	for _, selector := range selectors {
		err := i.each(ctx, s, namespace, selector, func(o metav1.Object) error {
			if slices.Contains(i.Exclude, o.GetNamespace()) || wanted != nil && !wanted[o.GetNamespace()] {
				return nil
			}
			f, err := i.inspect(ctx, s, o)
			if err != nil {
				return fmt.Errorf("%s %s/%s: %w", s.kind, o.GetNamespace(), o.GetName(), err)
			}
			if f.Verdict.Allowed && !f.Verdict.Workload().Recognized() {
				return nil
			}
			return visit(f)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// each lists the objects of one kind by pages. There are none of a kind that the cluster does not serve.
func (i *Inspector) each(ctx context.Context, s source, namespace, selector string, visit func(metav1.Object) error) error {
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
			if err := visit(o); err != nil {
				return err
			}
		}
		if options.Continue = next; next == "" {
			return nil
		}
	}
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
