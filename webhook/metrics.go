package webhook

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"drey.dev/drey/webhook/config"
	"drey.dev/drey/webhook/verdict"
)

type metrics struct {
	reviews  *prometheus.CounterVec
	faults   *prometheus.CounterVec
	duration *prometheus.HistogramVec
	added    *prometheus.CounterVec
	kept     *prometheus.CounterVec
	denials  *prometheus.CounterVec
	unknown  prometheus.Counter
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		reviews: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "drey_admission_reviews_total", Help: "AdmissionReviews answered, by webhook and verdict.",
		}, []string{"webhook", "verdict"}),
		faults: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "drey_admission_invalid_requests_total", Help: "Requests to a webhook that were not answered with a review, by status code.",
		}, []string{"webhook", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "drey_admission_duration_seconds", Help: "Time from a review's header to its answer.",
			Buckets: []float64{.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .05, .1, 1},
		}, []string{"webhook"}),
		added: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "drey_labels_added_total", Help: "Labels added to pods and other objects, by label.",
		}, []string{"label"}),
		kept: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "drey_label_mismatches_total", Help: "Labels that pods had with another value than drey would have given, and that stayed, by label.",
		}, []string{"label"}),
		denials: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "drey_admission_denials_total", Help: "Workloads that were denied, by webhook, reason and mode. In the modes warn and audit they passed nevertheless.",
		}, []string{"webhook", "reason", "mode"}),
		unknown: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "drey_admission_owner_lookup_incomplete_total", Help: "Reviews that were answered before all owners of the object could be found.",
		}),
	}
	if r != nil {
		r.MustRegister(m.reviews, m.faults, m.duration, m.added, m.kept, m.denials, m.unknown)
	}
	return m
}

func (m *metrics) decided(webhook string, reason verdict.Reason, d time.Duration) {
	m.reviews.WithLabelValues(webhook, string(reason)).Inc()
	m.duration.WithLabelValues(webhook).Observe(d.Seconds())
}

func (m *metrics) denied(webhook string, reason verdict.Reason, mode config.Mode) {
	m.denials.WithLabelValues(webhook, string(reason), string(mode)).Inc()
}

func (m *metrics) rejected(webhook string, status int) {
	m.faults.WithLabelValues(webhook, strconv.Itoa(status)).Inc()
}

func (m *metrics) labeled(v verdict.Verdict) {
	for _, l := range v.Add {
		m.added.WithLabelValues(l.Key).Inc()
	}
	for _, l := range v.Kept {
		m.kept.WithLabelValues(l.Key).Inc()
	}
}
