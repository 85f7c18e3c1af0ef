package server

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"drey.dev/drey/inventory"
	"drey.dev/drey/inventory/cluster"
	"drey.dev/drey/registry"
	"drey.dev/drey/registry/kubestore"
	"drey.dev/drey/webhook/owners"
)

// watchInventory fills the inventory until ctx ends.
func (s *server) watchInventory(ctx context.Context, known *owners.Owners) error {
	_, inCluster := s.store.(*kubestore.Store)
	var feeder *cluster.Feeder
	use, err := cluster.NewPodMetrics(s.cluster, s.log, func(namespace string) { feeder.Changed(namespace) })
	if err != nil {
		return err
	}
	feeder, err = cluster.New(cluster.Options{
		Config: s.cluster, Owners: known, Registry: s.index, Inventory: s.inventory, Exclude: s.options.excludedNamespaces(), PlatformIsNamespace: inCluster, Use: use,
	})
	if err != nil {
		return err
	}
	if err := known.OnKnownChanged(feeder.Changed); err != nil {
		return err
	}
	if err := s.store.Watch(ctx, registry.DeploymentTarget, func(e registry.Event) {
		feeder.Changed(registry.TargetNamespace(e.Object, s.options.config.Namespace))
	}); err != nil {
		return err
	}
	s.parts.Go(func() { feeder.Run(ctx) })
	s.parts.Go(func() { use.Run(ctx) })
	return nil
}

// workloadMetrics exports the totals of the inventory by target.
type workloadMetrics struct{ inventory *inventory.Inventory }

var (
	workloadLabels = []string{"platform_namespace", "target"}

	workloadsDesc     = prometheus.NewDesc("drey_workloads", "Flink workloads, by target. The labels are empty for those without a target.", workloadLabels, nil)
	workloadPodsDesc  = prometheus.NewDesc("drey_workload_pods", "Pods of Flink workloads, by target.", workloadLabels, nil)
	workloadReadyDesc = prometheus.NewDesc("drey_workload_pods_ready", "Ready pods of Flink workloads, by target.", workloadLabels, nil)
	requestedCPUDesc  = prometheus.NewDesc("drey_workload_requested_cpu_cores", "CPU that the pods of Flink workloads request, by target.", workloadLabels, nil)
	requestedMemDesc  = prometheus.NewDesc("drey_workload_requested_memory_bytes", "Memory that the pods of Flink workloads request, by target.", workloadLabels, nil)
)

// Describe implements prometheus.Collector.
func (m workloadMetrics) Describe(c chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{workloadsDesc, workloadPodsDesc, workloadReadyDesc, requestedCPUDesc, requestedMemDesc} {
		c <- d
	}
}

// Collect implements prometheus.Collector. Before the inventory has synced there are none.
func (m workloadMetrics) Collect(c chan<- prometheus.Metric) {
	if !m.inventory.Synced() {
		return
	}
	totals, err := m.inventory.Usage(inventory.ByTarget, inventory.Filter{})
	if err != nil {
		return // cannot happen: nothing is filtered
	}
	for _, t := range totals {
		for desc, value := range map[*prometheus.Desc]float64{
			workloadsDesc: float64(t.Workloads), workloadPodsDesc: float64(t.Pods), workloadReadyDesc: float64(t.PodsReady),
			requestedCPUDesc: float64(t.Requests.MilliCPU) / 1000, requestedMemDesc: float64(t.Requests.Memory),
		} {
			c <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, t.PlatformNamespace, t.Target)
		}
	}
}
