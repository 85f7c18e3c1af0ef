// Package workloads shows the registry the Flink workloads of the cluster. [Cluster] lists
// them without a cache: deletions of targets and lists of jobs are rare. [Observer] reads a cache,
// for the status of objects.
package workloads

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"drey.dev/drey/registry"
	"drey.dev/drey/webhook/flink"
)

// Cluster reads pods and Flink's custom resources: their metadata, except for the requests of
// pods, and the custom resources whose platform namespace only their pod templates can show.
type Cluster struct {
	client    metadata.Interface
	dynamic   dynamic.Interface
	discovery discovery.DiscoveryInterface
	pods      coreclient.PodsGetter
	usage     usageCache
}

var _ registry.Workloads = (*Cluster)(nil)

// New returns the workloads of the cluster at config. It needs the right to list pods and Flink's
// custom resources in the namespaces of the targets.
func New(config *rest.Config) (*Cluster, error) {
	config = rest.CopyConfig(config)
	if config.QPS == 0 { // users wait for several lists
		config.QPS, config.Burst = 100, 200
	}
	client, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	full, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	served, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	config.ContentType, config.AcceptContentTypes = runtime.ContentTypeProtobuf, runtime.ContentTypeProtobuf+","+runtime.ContentTypeJSON
	pods, err := coreclient.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return &Cluster{client: client, dynamic: full, discovery: served, pods: pods}, nil
}

const labelPodHash = "pod-template-hash"

// Running implements registry.Workloads. Pods are listed by their controllers, each
// once; custom resources with or without pods: one that is suspended starts again.
// A terminating Kubernetes namespace has none: nothing can start there. The reads run
// concurrently, and each is consistent.
func (c *Cluster) Running(ctx context.Context, kubernetesNamespace, platformNamespace string) ([]registry.Reference, error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	found := make([][]registry.Reference, 1+len(flink.CustomResources))
	errs := make([]error, len(found))
	var lists sync.WaitGroup
	terminating := false
	lists.Go(func() { terminating = c.isTerminating(ctx, kubernetesNamespace) })
	lists.Go(func() { found[0], errs[0] = c.controllers(ctx, kubernetesNamespace, platformNamespace) })
	for i, kind := range flink.CustomResources {
		lists.Go(func() { found[i+1], errs[i+1] = c.customResources(ctx, kind, kubernetesNamespace, platformNamespace) })
	}
	lists.Wait()
	if terminating {
		return nil, nil
	}
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return slices.Concat(found...), nil
}

// isTerminating reports whether a Kubernetes namespace is being deleted; false if it cannot be
// read, so that its workloads count.
func (c *Cluster) isTerminating(ctx context.Context, kubernetesNamespace string) bool {
	n, err := c.client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}).Get(ctx, kubernetesNamespace, metav1.GetOptions{})
	return err == nil && n.DeletionTimestamp != nil
}

// controllers returns the controllers of the pods of a platform namespace.
func (c *Cluster) controllers(ctx context.Context, kubernetesNamespace, platformNamespace string) ([]registry.Reference, error) {
	var found []registry.Reference
	err := c.eachPod(ctx, kubernetesNamespace, labels.Set{flink.LabelPlatformNamespace: platformNamespace}.String(), func(p *metav1.PartialObjectMetadata) {
		if r := controllerOf(p); !slices.Contains(found, r) {
			found = append(found, r)
		}
	})
	return found, err
}

// maxNamespaceLists is the number of Kubernetes namespaces up to which pods are listed in each of
// them. A list of all namespaces returns no more pods: those of one platform namespace.
const maxNamespaceLists = 10

// Jobs implements registry.Workloads. Of many Kubernetes namespaces the pods are listed at once, if
// the caller may.
func (c *Cluster) Jobs(ctx context.Context, kubernetesNamespaces []string, platformNamespace string) ([]registry.RunningJob, error) {
	selector := labels.Set{flink.LabelPlatformNamespace: platformNamespace}.String() + "," + flink.LabelJobID
	jobs := jobs{at: map[[2]string]int{}}
	if len(kubernetesNamespaces) > maxNamespaceLists {
		listed := map[string]bool{}
		for _, name := range kubernetesNamespaces {
			listed[name] = true
		}
		err := c.eachPod(ctx, metav1.NamespaceAll, selector, func(p *metav1.PartialObjectMetadata) {
			if listed[p.Namespace] {
				jobs.add(p)
			}
		})
		if !apierrors.IsForbidden(err) {
			return jobs.list, err
		}
	}
	for _, name := range kubernetesNamespaces {
		if err := c.eachPod(ctx, name, selector, jobs.add); err != nil {
			return nil, fmt.Errorf("namespace %s: %w", name, err)
		}
	}
	return jobs.list, nil
}

// jobs are jobs in the order of their first pods.
type jobs struct {
	list []registry.RunningJob
	at   map[[2]string]int // index by namespace and id
}

// add adds a pod to its job.
func (all *jobs) add(p *metav1.PartialObjectMetadata) {
	key := [2]string{p.Namespace, p.Labels[flink.LabelJobID]}
	i, ok := all.at[key]
	if !ok {
		i = len(all.list)
		all.at[key], all.list = i, append(all.list, registry.RunningJob{ID: p.Labels[flink.LabelJobID], Since: p.CreationTimestamp.Time})
	}
	j := &all.list[i]
	j.DeploymentID = cmp.Or(j.DeploymentID, p.Labels[flink.LabelDeploymentID])
	j.DeploymentName = cmp.Or(j.DeploymentName, p.Labels[flink.LabelDeploymentName])
	if p.CreationTimestamp.Time.Before(j.Since) {
		j.Since = p.CreationTimestamp.Time
	}
}

// listTimeout bounds the lists of one call.
const listTimeout = 10 * time.Second

// eachPod calls f with each labeled pod that matches a selector and is not terminated.
func (c *Cluster) eachPod(ctx context.Context, namespace, selector string, f func(*metav1.PartialObjectMetadata)) error {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	options := metav1.ListOptions{
		LabelSelector: flink.LabelSystem + "=" + flink.System + "," + selector,
		FieldSelector: "status.phase!=Succeeded,status.phase!=Failed",
		Limit:         500,
	}
	pods := c.client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "pods"}).Namespace(namespace)
	for {
		page, err := pods.List(ctx, options)
		if err != nil {
			return fmt.Errorf("list pods: %w", err)
		}
		for i := range page.Items {
			f(&page.Items[i])
		}
		if options.Continue = page.Continue; options.Continue == "" {
			return nil
		}
	}
}

// controllerOf returns the reference to show for a pod: its Deployment, else its controller, else the
// pod.
func controllerOf(p *metav1.PartialObjectMetadata) registry.Reference {
	owner := metav1.GetControllerOf(p)
	if owner == nil {
		return registry.Reference{Kind: "Pod", Name: p.Name}
	}
	if name, ok := strings.CutSuffix(owner.Name, "-"+p.Labels[labelPodHash]); ok && owner.Kind == "ReplicaSet" {
		return registry.Reference{Kind: "Kubernetes Deployment", Name: name}
	}
	return registry.Reference{Kind: "Kubernetes " + owner.Kind, Name: owner.Name}
}
