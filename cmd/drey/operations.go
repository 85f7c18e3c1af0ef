package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	controllermetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	"k8s.io/klog/v2"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"drey.dev/drey/registry/access"
	"drey.dev/drey/registry/reviews"
)

// serveOperations serves what those who run drey look at: on loopback all of it to
// everybody; else the metrics alone, over TLS, to those whom the cluster's RBAC lets
// get /metrics.
func (s *service) serveOperations(fail context.CancelCauseFunc) error {
	mux := http.NewServeMux()
	// Those of client-go (rest_client_*, leader_election_master_status) are the process's.
	metrics := promhttp.HandlerFor(prometheus.Gatherers{s.metrics, controllermetrics.Registry}, promhttp.HandlerOpts{})
	if s.options.metricsOpen() {
		mux.Handle("GET "+metricsPath, metrics)
		return s.serveHTTP(fail, s.options.metricsAddress, s.probes(mux), nil)
	}
	users, err := reviews.New(s.cluster) // not those of the REST API, who may be asked for tokens of another audience
	if err != nil {
		return err
	}
	mux.Handle("GET "+metricsPath, s.onlyKnown(users, metrics))
	return s.serveHTTP(fail, s.options.metricsAddress, mux, s.sharedTLS())
}

const metricsPath = "/metrics"

// onlyKnown asks the cluster whether the holder of a request's token may read the
// metrics.
func (s *service) onlyKnown(users *reviews.Reviews, metrics http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok || token == "" {
			w.Header().Set("WWW-Authenticate", `Bearer realm="drey"`)
			http.Error(w, "the metrics are for those who show a token of the cluster: Authorization: Bearer TOKEN", http.StatusUnauthorized)
			return
		}
		may, err := users.MayGet(r.Context(), token, metricsPath)
		switch {
		case errors.Is(err, access.ErrUnknown):
			w.Header().Set("WWW-Authenticate", `Bearer realm="drey", error="invalid_token"`)
			http.Error(w, "the cluster does not know the token, or it has expired: kubectl create token NAME -n NAMESPACE makes one", http.StatusUnauthorized)
		case err != nil:
			s.log.Warn("metrics: the cluster could not be asked", "error", err)
			w.Header().Set("Retry-After", "5")
			http.Error(w, "the cluster could not be asked whose token it is: try again", http.StatusServiceUnavailable)
		case !may:
			http.Error(w, "the holder of the token may not get the nonResourceURL "+metricsPath+": bind the ClusterRole drey-metrics to it", http.StatusForbidden)
		default:
			metrics.ServeHTTP(w, r)
		}
	})
}

// probes adds what a kubelet asks.
func (s *service) probes(mux *http.ServeMux) http.Handler {
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := s.readiness(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "ok\n")
	})
	return mux
}

func (s *service) readiness() error {
	if s.stopping.Load() {
		return errors.New("drey is stopping")
	}
	if !s.up.Load() {
		if serving := s.serving.Load(); serving != nil {
			if err := (*serving).Ready(); err != nil {
				return fmt.Errorf("drey is starting: %w", err)
			}
		}
		return errors.New("drey is starting")
	}
	if !s.index.Synced() {
		return errors.New("the registry has not been read yet")
	}
	for _, ready := range s.ready {
		if err := ready(); err != nil {
			return err
		}
	}
	return nil
}

// newLogger makes the one logger of this process, which the libraries use too.
func newLogger(w io.Writer, format, level string) (*slog.Logger, error) {
	options := &slog.HandlerOptions{}
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level is %q: use debug, info, warn or error", level)
	}
	options.Level = l
	var handler slog.Handler
	switch format {
	case "text":
		handler = slog.NewTextHandler(w, options)
	case "json":
		handler = slog.NewJSONHandler(w, options)
	default:
		return nil, fmt.Errorf("--log-format is %q: use text or json", format)
	}
	ctrllog.SetLogger(logr.FromSlogHandler(handler))
	klog.SetLogger(logr.FromSlogHandler(handler))
	return slog.New(handler), nil
}
