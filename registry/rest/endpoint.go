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

// response is the result of a handler. With an error, its header is sent too.
type response struct {
	status int
	body   any
	header http.Header

	stream func(http.ResponseWriter, *http.Request) // writes the response instead
}

// endpoint serves a path: it calls the handler of the method, or fallback, writes the response and
// records metrics.
func (s *server) endpoint(route string, m methods, fallback func(*http.Request) (response, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		id := requestID(r)
		info := &requestInfo{id: id, user: anonymous}
		r = r.WithContext(context.WithValue(r.Context(), requestInfoKey{}, info))
		handle, ok := m[r.Method]
		if !ok {
			handle = fallback
		}
		defer info.close()
		resp, err := s.recovered(handle, r)
		if err != nil {
			p := s.problemOf(r, err)
			resp.status, resp.body = p.status, p.body(r)
			if p.status == http.StatusServiceUnavailable {
				resp.header = http.Header{"Retry-After": {"5"}}
			}
		}
		w.Header().Set("X-Request-Id", id)
		if resp.stream != nil {
			s.metrics.counted(route, r.Method, resp.status)
			resp.stream(w, r)
			return
		}
		resp.send(w, accepted{
			yaml: err == nil && prefersYAML(fieldValue(r, "Accept")),
			gzip: acceptsGzip(fieldValue(r, "Accept-Encoding")),
		})
		s.metrics.observe(route, r.Method, resp.status, time.Since(start))
		s.log.Log(r.Context(), s.requestLevel, "request", "method", r.Method, "path", r.URL.Path, "status", resp.status, "duration", time.Since(start), "user", info.user, "client", r.RemoteAddr, "id", id)
	})
}

// recovered turns a panic of a handler into an error.
func (s *server) recovered(handle func(*http.Request) (response, error), r *http.Request) (resp response, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
	}()
	return handle(r)
}

// requestID returns the client's X-Request-Id if it is safe to log, else a new UUID.
func requestID(r *http.Request) string {
	const maxLength = 64
	id := r.Header.Get("X-Request-Id")
	isInvalid := func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.'
	}
	if id == "" || len(id) > maxLength || strings.ContainsFunc(id, isInvalid) {
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
			Name: "drey_rest_request_duration_seconds", Help: "Time from the header of a REST request to its response.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .5, 1, 5},
		}, []string{"route", "method"}),
	}
	if r != nil {
		r.MustRegister(m.requests, m.duration)
	}
	return m
}

func (m *metrics) observe(route, method string, status int, d time.Duration) {
	m.duration.WithLabelValues(route, m.counted(route, method, status)).Observe(d.Seconds())
}

// counted counts a request, and returns the label value of its method.
func (m *metrics) counted(route, method string, status int) string {
	switch method { // bounds the cardinality
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
	default:
		method = "other"
	}
	m.requests.WithLabelValues(route, method, strconv.Itoa(status)).Inc()
	return method
}
