package webhook

import (
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"drey.dev/drey/webhook/config"
	"drey.dev/drey/webhook/verdict"
)

type metrics struct {
	reviews    *prometheus.CounterVec
	faults     *prometheus.CounterVec
	duration   *prometheus.HistogramVec
	added      *prometheus.CounterVec
	mismatches *prometheus.CounterVec
	denials    *prometheus.CounterVec
	unknown    prometheus.Counter

	addedTo, keptAs counters // of added and mismatches
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		reviews: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "drey_admission_reviews_total", Help: "AdmissionReviews answered, by webhook and verdict.",
		}, []string{"webhook", "verdict"}),
		faults: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "drey_admission_invalid_requests_total", Help: "Requests to a webhook that got an HTTP error instead of a review, by status code.",
		}, []string{"webhook", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "drey_admission_duration_seconds", Help: "Latency of reviews, from the HTTP header to the answer.",
			Buckets: []float64{.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .05, .1, 1},
		}, []string{"webhook"}),
		added: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "drey_labels_added_total", Help: "Labels added to pods and other objects, by label.",
		}, []string{"label"}),
		mismatches: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "drey_label_mismatches_total", Help: "Labels of pods with another value than the verdict's, which drey keeps, by label.",
		}, []string{"label"}),
		denials: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "drey_admission_denials_total", Help: "Denied requests, by webhook, reason and mode. The modes warn and audit allow them.",
		}, []string{"webhook", "reason", "mode"}),
		unknown: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "drey_admission_owner_lookup_incomplete_total", Help: "Reviews that were answered before all owners of the object were resolved.",
		}),
	}
	m.addedTo.create = func(key string) prometheus.Counter { return m.added.WithLabelValues(key) }
	m.keptAs.create = func(key string) prometheus.Counter { return m.mismatches.WithLabelValues(key) }
	if r != nil {
		r.MustRegister(m.reviews, m.faults, m.duration, m.added, m.mismatches, m.denials, m.unknown)
	}
	return m
}

// endpointMetrics are the metrics of one webhook.
type endpointMetrics struct {
	reviews  *counters // by verdict
	duration func() prometheus.Observer
}

func (m *metrics) endpoint(webhook string) *endpointMetrics {
	return &endpointMetrics{
		reviews:  &counters{create: func(reason string) prometheus.Counter { return m.reviews.WithLabelValues(webhook, reason) }},
		duration: sync.OnceValue(func() prometheus.Observer { return m.duration.WithLabelValues(webhook) }),
	}
}

func (m *endpointMetrics) decided(reason verdict.Reason, d time.Duration) {
	m.reviews.of(string(reason)).Inc()
	m.duration().Observe(d.Seconds())
}

// counters are the counters of a vector by the value of a label with few values. A lookup costs
// less than that of the vector.
type counters struct {
	create func(value string) prometheus.Counter

	mu    sync.Mutex // of writers
	found atomic.Pointer[[]counterOf]
}

type counterOf struct {
	value   string
	counter prometheus.Counter
}

func (c *counters) of(value string) prometheus.Counter {
	if counter := c.lookup(value); counter != nil {
		return counter
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if counter := c.lookup(value); counter != nil {
		return counter
	}
	grown := []counterOf{{strings.Clone(value), c.create(value)}}
	if all := c.found.Load(); all != nil {
		grown = append(grown, *all...)
	}
	c.found.Store(&grown)
	return grown[0].counter
}

func (c *counters) lookup(value string) prometheus.Counter {
	if all := c.found.Load(); all != nil {
		for _, found := range *all {
			if found.value == value {
				return found.counter
			}
		}
	}
	return nil
}

func (m *metrics) denied(webhook string, reason verdict.Reason, mode config.Mode) {
	m.denials.WithLabelValues(webhook, string(reason), string(mode)).Inc()
}

func (m *metrics) rejected(webhook string, status int) {
	m.faults.WithLabelValues(webhook, strconv.Itoa(status)).Inc()
}

func (m *metrics) labeled(v verdict.Verdict) {
	for _, l := range v.Add {
		m.addedTo.of(l.Key).Inc()
	}
	for _, l := range v.Kept {
		m.keptAs.of(l.Key).Inc()
	}
}
