package server

import (
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"drey.dev/drey/denials"
	"drey.dev/drey/denials/configmap"
	"drey.dev/drey/denials/file"
	"drey.dev/drey/registry/kubestore"
	"drey.dev/drey/webhook"
	webhookconfig "drey.dev/drey/webhook/config"
)

// newDenials returns the history of denials, which is empty until the webhooks serve.
func (s *server) newDenials() (*denials.History, error) {
	replica, err := os.Hostname() // the name of the pod
	if err != nil {
		return nil, err
	}
	dropped := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "drey_denials_unrecorded_total", Help: "Denials that are missing in the history because there were too many new ones.",
	})
	history := denials.NewHistory(replica, dropped.Inc)
	s.metrics.MustRegister(dropped, denialMetrics{history})
	return history, nil
}

// denialMetrics exports the denials of the last day in the history.
type denialMetrics struct{ history *denials.History }

var recentDenialsDesc = prometheus.NewDesc("drey_recent_denials", "Denials of the last 24 hours in the history.", []string{"namespace", "reason", "mode"}, nil)

// Describe implements prometheus.Collector.
func (m denialMetrics) Describe(c chan<- *prometheus.Desc) { c <- recentDenialsDesc }

// Collect implements prometheus.Collector. The history bounds the number of namespaces.
func (m denialMetrics) Collect(c chan<- prometheus.Metric) {
	page, err := m.history.List(denials.Query{Filter: denials.Filter{Since: time.Now().Add(-24 * time.Hour)}})
	if err != nil {
		return // cannot happen: the query is valid
	}
	type group struct{ namespace, reason, mode string }
	counts := map[group]int{}
	for _, d := range page.Items {
		counts[group{d.Namespace, d.Reason, d.Mode}] += d.Count
	}
	for g, n := range counts {
		c <- prometheus.MustNewConstMetric(recentDenialsDesc, prometheus.GaugeValue, float64(n), g.namespace, g.reason, g.mode)
	}
}

// denialStore returns where the history of denials is kept: in a ConfigMap that all replicas
// share or, with the embedded store, in a file.
func (s *server) denialStore() (denials.Store, error) {
	if s.embedded != nil {
		return file.New(denialsFile(s.options.config.Registry.DataDir)), nil
	}
	return configmap.New(s.cluster, s.options.config.Namespace)
}

// recordDenial is for [webhook.Options]. It never blocks.
func (s *server) recordDenial(events *denialEvents) func(webhook.Denial) {
	_, inCluster := s.store.(*kubestore.Store)
	return func(d webhook.Denial) {
		record := denials.Denial{
			User: d.User, Groups: d.Groups, Operation: d.Operation, Kind: d.Kind, Namespace: d.Namespace, Name: d.Name, PlatformNamespace: d.PlatformNamespace,
			Reason: string(d.Reason), Message: d.Message, Remedy: d.Remedy, Mode: string(d.Mode),
		}
		if d.Root.Name != d.Name || d.Root.Kind != d.Kind {
			record.Owner = denials.Owner(d.Root)
		}
		if d.Mode != webhookconfig.Enforce && record.Owner.Name != "" && s.denials.HasObject(d.Namespace, d.Root.Kind, d.Root.Name, record.Reason, record.Mode) {
			return // enforce denies the owner, and no object that it creates
		}
		if record.PlatformNamespace == "" && inCluster { // RBAC of the Kubernetes namespace governs the platform namespace of its name
			record.PlatformNamespace = d.Namespace
		}
		s.denials.Record(record, d.Sender)
		events.observe(d, record.Key())
	}
}
