package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	_ "sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue" // exports workqueue_* of client-go's queues
	controllermetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"drey.dev/drey/registry/access"
	"drey.dev/drey/registry/rest"
	"drey.dev/drey/registry/reviews"
)

const metricsPath = "/metrics"

// serveMetrics serves metrics and probes on loopback without authentication;
// elsewhere the metrics alone, over TLS, to users whom RBAC allows get on /metrics.
func (s *server) serveMetrics(fail context.CancelCauseFunc) error {
	mux := http.NewServeMux()
	// controller-runtime's registry has client-go's: rest_client_*, workqueue_*, leader_election_master_status.
	metrics := promhttp.HandlerFor(prometheus.Gatherers{s.metrics, controllermetrics.Registry}, promhttp.HandlerOpts{})
	if s.options.metricsOnLoopback() {
		mux.Handle("GET "+metricsPath, metrics)
		return s.serveHTTP(fail, &s.options.config.Metrics.BindAddress, s.addProbes(mux), nil)
	}
	users, err := reviews.New(s.cluster) // not those of the REST API, whose tokens may be for another audience
	if err != nil {
		return err
	}
	mux.Handle("GET "+metricsPath, s.authorizeMetrics(users, metrics))
	return s.serveHTTP(fail, &s.options.config.Metrics.BindAddress, mux, s.sharedTLS())
}

// newBuildInfo returns the constant gauge drey_build_info.
func newBuildInfo(build rest.Build) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "drey_build_info", Help: "Version of drey, with the constant value 1.",
		ConstLabels: prometheus.Labels{"version": build.Version, "revision": build.Commit, "goversion": runtime.Version()},
	}, func() float64 { return 1 })
}

// authorizeMetrics passes a request if its bearer token may get /metrics.
func (s *server) authorizeMetrics(users *reviews.Reviews, metrics http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok || token == "" {
			w.Header().Set("WWW-Authenticate", `Bearer realm="drey"`)
			http.Error(w, "authentication required: send Authorization: Bearer TOKEN with a token of the cluster", http.StatusUnauthorized)
			return
		}
		allowed, err := users.MayGet(r.Context(), token, metricsPath)
		switch {
		case errors.Is(err, access.ErrUnknown):
			w.Header().Set("WWW-Authenticate", `Bearer realm="drey", error="invalid_token"`)
			http.Error(w, "token unknown to the cluster or expired: kubectl create token NAME -n NAMESPACE issues one", http.StatusUnauthorized)
		case err != nil:
			s.log.Warn("metrics: token review failed", "error", err)
			w.Header().Set("Retry-After", "5")
			http.Error(w, "token review failed: the API server does not answer; retry", http.StatusServiceUnavailable)
		case !allowed:
			http.Error(w, "forbidden: the user cannot get the nonResourceURL "+metricsPath+"; bind the ClusterRole drey-metrics to it", http.StatusForbidden)
		default:
			metrics.ServeHTTP(w, r)
		}
	})
}

// addProbes adds /livez and /readyz.
func (s *server) addProbes(mux *http.ServeMux) http.Handler {
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := s.notReady(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "ok\n")
	})
	return mux
}

// notReady returns why the server is not ready, or nil.
func (s *server) notReady() error {
	if s.stopping.Load() {
		return errors.New("drey is stopping")
	}
	if !s.up.Load() {
		if c := s.certificates.Load(); c != nil {
			if err := (*c).Ready(); err != nil {
				return fmt.Errorf("drey is starting: %w", err)
			}
		}
		return errors.New("drey is starting")
	}
	if !s.index.Synced() {
		return errors.New("the registry is not loaded yet")
	}
	for _, ready := range s.ready {
		if err := ready(); err != nil {
			return err
		}
	}
	return nil
}
