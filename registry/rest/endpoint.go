package rest

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/yaml"
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
		a, err := s.limited(handle, r)
		if err != nil {
			p := s.problemOf(r, err)
			a.status, a.body = p.status, p.body(r)
		}
		w.Header().Set("X-Request-Id", id)
		write(w, a, wish{
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

// limited answers 429 when too many requests are under way.
func (s *server) limited(handle func(*http.Request) (answer, error), r *http.Request) (answer, error) {
	select {
	case s.underWay <- struct{}{}:
		defer func() { <-s.underWay }()
		return s.guarded(handle, r)
	default:
		return answer{header: http.Header{"Retry-After": {"1"}}}, &problem{http.StatusTooManyRequests, ReasonTooManyRequests,
			fmt.Sprintf("%d requests are under way, the most that drey answers at once: try again in a second", cap(s.underWay))}
	}
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

// wish is how a client would like its answer.
type wish struct{ yaml, gzip bool }

// worthwhile is from how many bytes on an answer is compressed, for who can
// read that.
const worthwhile = 8 << 10

// write is the only place that writes an answer. Errors are always JSON.
func write(w http.ResponseWriter, a answer, wish wish) {
	maps.Copy(w.Header(), a.header)
	w.Header().Set("Vary", "Accept, Accept-Encoding")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if a.body == nil {
		w.WriteHeader(a.status)
		return
	}
	contentType := "application/json"
	text, err := encode(a.body)
	if err == nil && wish.yaml {
		contentType = "application/yaml"
		text, err = yaml.JSONToYAML(text)
	}
	if err != nil { // only our own types come here, and they can be marshalled
		http.Error(w, `{"message":"the answer could not be written"}`, http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentType)
	if wish.gzip && len(text) >= worthwhile {
		text = compress(text)
		w.Header().Set("Content-Encoding", "gzip")
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(a.status)
	_, _ = w.Write(text) // the client may be gone; nobody is left to tell
}

func compress(text []byte) []byte {
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed) // the level is one
	_, _ = z.Write(text)                            // into memory
	_ = z.Close()
	return b.Bytes()
}

// takesGzip reads an Accept-Encoding header.
func takesGzip(header string) bool {
	for part := range strings.SplitSeq(header, ",") {
		coding, params, _ := strings.Cut(part, ";")
		if coding = strings.TrimSpace(coding); coding != "gzip" && coding != "*" {
			continue
		}
		q, ok := strings.CutPrefix(strings.ReplaceAll(params, " ", ""), "q=")
		value, err := strconv.ParseFloat(q, 64)
		return !ok || err == nil && value > 0
	}
	return false
}

// encode writes JSON: maps in order, and what clients sent to the byte.
func encode(v any) ([]byte, error) {
	return jsonv2.Marshal(v, jsonv2.Deterministic(true), jsontext.PreserveRawStrings(true))
}

// prefersYAML reads an Accept header. JSON wins unless YAML is asked for with
// a higher quality: a wildcard means JSON.
func prefersYAML(accept string) bool {
	var yamlQ, jsonQ float64
	for part := range strings.SplitSeq(accept, ",") {
		mediaType, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		q := 1.0
		if v, ok := params["q"]; ok {
			if q, err = strconv.ParseFloat(v, 64); err != nil {
				continue
			}
		}
		switch mediaType {
		case "application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml":
			yamlQ = max(yamlQ, q)
		case "application/json", "application/*", "*/*":
			jsonQ = max(jsonQ, q)
		}
	}
	return yamlQ > jsonQ
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
