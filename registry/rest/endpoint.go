package rest

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
)

// answer is what a handler wants said. The header goes out with an error too.
type answer struct {
	status int
	body   any
	header http.Header
}

// endpoint answers one path: it finds the method, calls it, writes what it
// returned, and counts.
func (s *server) endpoint(route string, m methods, otherwise func(*http.Request) (answer, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		id := requestID(r)
		who := &visitor{name: anonymous, request: id}
		r = r.WithContext(context.WithValue(r.Context(), visitorKey{}, who))
		handle, ok := m[r.Method]
		if !ok {
			handle = otherwise
		}
		defer who.leave()
		a, err := s.guarded(handle, r)
		if err != nil {
			p := s.problemOf(r, err)
			a.status, a.body = p.status, p.body(r)
			if p.status == http.StatusServiceUnavailable {
				a.header = http.Header{"Retry-After": {"5"}}
			}
		}
		w.Header().Set("X-Request-Id", id)
		a.send(w, wish{
			yaml: err == nil && prefersYAML(r.Header.Get("Accept")),
			gzip: takesGzip(r.Header.Get("Accept-Encoding")),
		})
		s.metrics.observe(route, r.Method, a.status, time.Since(start))
		s.log.Log(r.Context(), s.requests, "request", "method", r.Method, "path", r.URL.Path, "status", a.status, "duration", time.Since(start), "user", who.name, "client", r.RemoteAddr, "id", id)
	})
}

// guarded turns a panic, which is a defect of ours, into an error.
func (s *server) guarded(handle func(*http.Request) (answer, error), r *http.Request) (a answer, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
	}()
	return handle(r)
}

// requestID is what the client calls its request, if that can be logged, else a
// new name.
func requestID(r *http.Request) string {
	const longest = 64
	id := r.Header.Get("X-Request-Id")
	unfit := func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.'
	}
	if id == "" || len(id) > longest || strings.ContainsFunc(id, unfit) {
		return uuid.NewString()
	}
	return id
}

type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "drey_rest_requests_total", Help: "REST requests by route, method and status code.",
		}, []string{"route", "method", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "drey_rest_request_duration_seconds", Help: "Time from a REST request's header to its answer.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .5, 1, 5},
		}, []string{"route", "method"}),
	}
	if r != nil {
		r.MustRegister(m.requests, m.duration)
	}
	return m
}

func (m *metrics) observe(route, method string, status int, d time.Duration) {
	switch method { // anything else is the client's invention, and would be a new series each
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
	default:
		method = "other"
	}
	m.requests.WithLabelValues(route, method, strconv.Itoa(status)).Inc()
	m.duration.WithLabelValues(route, method).Observe(d.Seconds())
}
