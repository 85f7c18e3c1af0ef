package workloads

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"

	"drey.dev/drey/registry"
	"drey.dev/drey/webhook/flink"
)

// usageTTL is the age up to which a result of [Cluster.Usage] is returned again: the resolution of
// the report.
const usageTTL = time.Minute

// usageCache is the last result of [Cluster.Usage].
type usageCache struct {
	mu   sync.Mutex
	at   time.Time
	used map[string]registry.Usage
}

// Usage implements registry.Workloads: the requests of the labeled pods of the cluster, by
// platform namespace. It lists pods at most once a minute.
func (c *Cluster) Usage(ctx context.Context) (map[string]registry.Usage, error) {
	c.usage.mu.Lock()
	defer c.usage.mu.Unlock()
	if c.usage.used != nil && time.Since(c.usage.at) < usageTTL {
		return c.usage.used, nil
	}
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	used := map[string]registry.Usage{}
	options := metav1.ListOptions{
		LabelSelector: labels.Set{flink.LabelSystem: flink.System}.String() + "," + flink.LabelPlatformNamespace,
		FieldSelector: fields.AndSelectors(fields.OneTermNotEqualSelector("status.phase", string(corev1.PodSucceeded)), fields.OneTermNotEqualSelector("status.phase", string(corev1.PodFailed))).String(),
		Limit:         500,
	}
	for {
		page, err := c.pods.Pods(metav1.NamespaceAll).List(ctx, options)
		if err != nil {
			return nil, fmt.Errorf("list pods: %w", err)
		}
		for i := range page.Items {
			p := &page.Items[i]
			cpu, memory := requests(&p.Spec)
			sum := used[p.Labels[flink.LabelPlatformNamespace]]
			sum.MilliCPU += cpu.MilliValue()
			sum.Memory += memory.Value()
			used[p.Labels[flink.LabelPlatformNamespace]] = sum
		}
		if options.Continue = page.Continue; options.Continue == "" {
			break
		}
	}
	c.usage.at, c.usage.used = time.Now(), used
	return used, nil
}

// requests returns the requests of a pod, as the scheduler adds them up: of the containers and
// sidecars together, or of the largest init container, and the overhead.
func requests(spec *corev1.PodSpec) (cpu, memory resource.Quantity) {
	sum := func(name corev1.ResourceName) resource.Quantity {
		var running, starting resource.Quantity
		for _, c := range spec.InitContainers {
			needed := running.DeepCopy()
			needed.Add(c.Resources.Requests[name])
			if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
				running = needed
			}
			if needed.Cmp(starting) > 0 {
				starting = needed
			}
		}
		for _, c := range spec.Containers {
			running.Add(c.Resources.Requests[name])
		}
		if starting.Cmp(running) > 0 {
			running = starting
		}
		running.Add(spec.Overhead[name])
		return running
	}
	return sum(corev1.ResourceCPU), sum(corev1.ResourceMemory)
}
