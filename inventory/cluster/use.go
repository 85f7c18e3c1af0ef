package cluster

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"drey.dev/drey/inventory"
)

// PodMetrics reads what labeled pods use from metrics.k8s.io, periodically.
type PodMetrics struct {
	client  rest.Interface
	log     *slog.Logger
	changed func(namespace string)

	mu    sync.RWMutex
	usage map[string]map[string]inventory.Resources // by namespace and pod
	since time.Time                                 // of usage
	now   func() time.Time
}

const (
	useInterval = time.Minute // metrics-server scrapes every 15 s
	useTimeout  = 30 * time.Second
	// maxUseAge is how long a reading is shown while others fail: a restart of metrics-server passes.
	maxUseAge = 5 * time.Minute
)

// NewPodMetrics returns a PodMetrics that is not running. changed is called with "" after each
// reading; it must not block.
func NewPodMetrics(config *rest.Config, log *slog.Logger, changed func(namespace string)) (*PodMetrics, error) {
	config = rest.CopyConfig(config)
	config.APIPath, config.NegotiatedSerializer = "/apis", scheme.Codecs.WithoutConversion()
	config.ContentType, config.AcceptContentTypes = "application/json", "application/json"
	client, err := rest.UnversionedRESTClientFor(config)
	return &PodMetrics{client: client, log: log, changed: changed, now: time.Now}, err
}

// Of implements Use.
func (m *PodMetrics) Of(namespace string) map[string]inventory.Resources {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.usage[namespace]
}

// Read reads the usage once. It clears the usage if metrics.k8s.io is not served or forbidden, and
// keeps the last values for maxUseAge after other errors.
func (m *PodMetrics) Read(ctx context.Context) {
	usage, err := m.read(ctx)
	absent := apierrors.IsNotFound(err) || apierrors.IsForbidden(err)
	switch {
	case absent, apierrors.IsServiceUnavailable(err):
		m.log.Debug("use of pods not read: metrics.k8s.io is not available", "error", err)
	case err != nil && ctx.Err() == nil:
		m.log.Warn("use of pods not read", "error", err)
	}
	m.mu.Lock()
	if err == nil {
		m.since = m.now()
	} else if !absent && m.now().Sub(m.since) < maxUseAge {
		m.mu.Unlock()
		return
	}
	changed := len(usage) > 0 || len(m.usage) > 0
	m.usage = usage
	m.mu.Unlock()
	if changed {
		m.changed("")
	}
}

// Run reads periodically until ctx ends.
func (m *PodMetrics) Run(ctx context.Context) {
	for {
		m.Read(ctx)
		select {
		case <-ctx.Done():
			return
		case <-time.After(useInterval):
		}
	}
}

func (m *PodMetrics) read(ctx context.Context) (map[string]map[string]inventory.Resources, error) {
	ctx, cancel := context.WithTimeout(ctx, useTimeout)
	defer cancel()
	text, err := m.client.Verb(http.MethodGet).AbsPath("/apis/metrics.k8s.io/v1beta1/pods").Param("labelSelector", selectors[0]).DoRaw(ctx)
	if err != nil {
		return nil, err
	}
	return decodeUse(text)
}

// decodeUse decodes a PodMetricsList of metrics.k8s.io/v1beta1.
func decodeUse(text []byte) (map[string]map[string]inventory.Resources, error) {
	var list struct {
		Items []struct {
			Metadata struct {
				Namespace string `json:"namespace"`
				Name      string `json:"name"`
			} `json:"metadata"`
			Containers []struct {
				Usage struct {
					CPU    resource.Quantity `json:"cpu"`
					Memory resource.Quantity `json:"memory"`
				} `json:"usage"`
			} `json:"containers"`
		} `json:"items"`
	}
	if err := jsonv2.Unmarshal(text, &list); err != nil {
		return nil, err
	}
	all := map[string]map[string]inventory.Resources{}
	for _, item := range list.Items {
		var sum inventory.Resources
		for _, c := range item.Containers {
			sum = sum.Plus(inventory.Resources{MilliCPU: c.Usage.CPU.MilliValue(), Memory: c.Usage.Memory.Value()})
		}
		pods := all[item.Metadata.Namespace]
		if pods == nil {
			pods = map[string]inventory.Resources{}
			all[item.Metadata.Namespace] = pods
		}
		pods[item.Metadata.Name] = sum
	}
	return all, nil
}
