// Package webhook answers the API server: it turns AdmissionReviews into
// verdicts and says which of them the API server has to send.
package webhook

import (
	"cmp"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"drey.dev/drey/registry"
	"drey.dev/drey/webhook/verdict"
)

// Targets is what admission asks of the registry. Both methods answer from
// memory.
type Targets interface {
	// Targets are those of a Kubernetes namespace. The list is not changed.
	Targets(namespace string) []registry.Target
	// Synced says whether a missing target means that there is none.
	Synced() bool
}

// Options is what the webhooks need. Targets and Log are required.
type Options struct {
	Targets     Targets
	Log         *slog.Logger
	Registry    verdict.Registry      // where a denial sends people to register a target
	Exclude     []string              // Kubernetes namespaces that are always left alone
	Metrics     prometheus.Registerer // nil: none are kept
	ReadTimeout time.Duration         // for a review to arrive; 0 means 10 seconds. Longer than the API server waits, it only bounds strangers
}

// Webhooks holds what the handlers share.
type Webhooks struct {
	targets     Targets
	log         *slog.Logger
	registry    verdict.Registry
	exclude     []string
	metrics     *metrics
	readTimeout time.Duration
}

// New makes the webhooks.
func New(o Options) *Webhooks {
	return &Webhooks{
		targets: o.Targets, log: o.Log, registry: o.Registry, exclude: o.Exclude, metrics: newMetrics(o.Metrics),
		readTimeout: cmp.Or(o.ReadTimeout, 10*time.Second),
	}
}

// The paths at which the handlers are served.
const (
	PathLabelPods         = "/label/pods"
	PathValidateWorkloads = "/validate/workloads"
)

// Handlers returns the handlers by path.
func (w *Webhooks) Handlers() map[string]http.Handler {
	return map[string]http.Handler{
		PathLabelPods:         admission[pod, *pod]{w, labelPods, true},
		PathValidateWorkloads: admission[workload, *workload]{w, validateWorkloads, false},
	}
}
