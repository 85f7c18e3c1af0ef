// Package server is the running drey: its parts wired together, started in
// order and stopped in reverse.
package server

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	restclient "k8s.io/client-go/rest"
	"k8s.io/client-go/tools/record"

	"drey.dev/drey/cmd/drey/tracing"
	"drey.dev/drey/denials"
	"drey.dev/drey/inventory"
	"drey.dev/drey/registry"
	"drey.dev/drey/registry/access"
	"drey.dev/drey/registry/boltstore"
	"drey.dev/drey/registry/kubestore"
	"drey.dev/drey/registry/rest"
	"drey.dev/drey/registry/workloads"
	webhookconfig "drey.dev/drey/webhook/config"
	"drey.dev/drey/webhook/controllers/namespacelabels"
	"drey.dev/drey/webhook/controllers/repair"
	"drey.dev/drey/webhook/verdict"
)

// server holds the parts of a running drey, and what to close at the end.
type server struct {
	options Options
	log     *slog.Logger
	metrics *prometheus.Registry

	cluster  *restclient.Config   // nil without a cluster
	recorder record.EventRecorder // nil without a cluster
	store    registry.Store
	embedded *boltstore.Store // store, if it is the embedded one; else nil
	index    *registry.Index
	rules    *registry.Registry // over store
	rest     http.Handler
	traces   *tracing.Tracer          // nil without --traces-endpoint
	labeler  *namespacelabels.Labeler // nil without a cluster
	admitted func(namespace string) bool
	observer workloads.Observer

	inventory *inventory.Inventory // nil without a cluster
	targets   targetCounts
	denials   *denials.History // nil without a cluster
	health    *healthReader    // for the console
	closing   chan struct{}    // closed to end streams

	repairer     atomic.Pointer[repair.Repairer] // nil before the webhooks start
	caches       atomic.Pointer[verdict.Caches]  // nil before the webhooks start
	certificates atomic.Pointer[certificates]    // of the webhooks; nil before they start
	up           atomic.Bool                     // all parts have started
	stopping     atomic.Bool

	ready   []func() error // each returns why its part does not serve yet, or nil
	closers []func() error // called last to first
	parts   sync.WaitGroup
}

// Run serves until signaled ends or a part fails, then stops all parts in
// reverse order. Invalid options are an [OptionsError].
func Run(signaled context.Context, o *Options) error {
	if err := o.complete(); err != nil {
		return o.optionsError(err)
	}
	log, err := newLogger(o.LogOutput, o.config.Logging)
	if err != nil {
		return o.optionsError(err)
	}
	s, err := newServer(signaled, *o, log)
	if err != nil {
		return err
	}
	return s.run(signaled)
}

// newServer opens the store, and listens nowhere yet.
func newServer(ctx context.Context, o Options, log *slog.Logger) (_ *server, err error) {
	config, err := ClusterConfig(o.kubeconfig)
	if err != nil {
		return nil, err
	}
	if config == nil {
		if err := o.checkWithoutCluster(); err != nil {
			return nil, o.optionsError(err)
		}
	}
	s := &server{options: o, log: log, cluster: config, metrics: prometheus.NewRegistry(), closing: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	s.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), newBuildInfo(o.Build))
	if s.traces, err = tracing.New(ctx, o.config.Tracing.Endpoint, o.config.Tracing.SamplingRatio, o.Build.Version); err != nil {
		return nil, err
	}
	s.closers = append(s.closers, s.traces.Close)
	if config != nil {
		if s.traces != nil {
			config.Wrap(s.traces.Calls)
		}
		life, end := context.WithCancel(context.WithoutCancel(ctx)) // ended by close, in its turn
		s.closers = append(s.closers, func() error { end(); return nil })
		if s.recorder, err = newRecorder(life, config); err != nil {
			return nil, err
		}
	}
	if err := s.openStore(ctx); err != nil {
		return nil, err
	}
	s.closers = append(s.closers, s.store.Close)
	s.index = registry.NewIndex(o.config.Namespace)
	s.metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "drey_targets", Help: "DeploymentTargets in the registry.",
	}, func() float64 { return float64(s.index.Len()) }))
	s.rest, err = s.newREST(ctx)
	return s, err
}

// newREST returns the REST API with the console.
func (s *server) newREST(ctx context.Context) (http.Handler, error) {
	var err error
	if s.rules, err = s.newRegistry(); err != nil {
		return nil, err
	}
	if s.denials, err = s.newDenials(); err != nil {
		return nil, err
	}
	if s.cluster != nil {
		s.inventory = inventory.New()
		s.metrics.MustRegister(workloadMetrics{s.inventory})
	}
	authenticator, err := s.authenticator(context.Background(), s.rules)
	if err != nil {
		return nil, err
	}
	o := rest.Options{
		Registry: s.rules, Log: s.log, Build: s.options.Build, VVPVersion: s.options.config.REST.VVPVersion, Metrics: s.metrics,
		Access: authenticator, Throttle: access.NewThrottle(), AccessLog: s.options.config.REST.AccessLog,
		Denials: s.denials, Inventory: s.inventory, Readiness: s.readiness(), Closing: s.closing,
	}
	api := rest.New(o)
	pages, err := s.newConsole(ctx, api, o)
	if err != nil {
		return nil, err
	}
	return pages.Mount(api), nil
}

// newRegistry puts the rules over the store. With a cluster, workloads that run
// there hold targets.
func (s *server) newRegistry() (*registry.Registry, error) {
	o := registry.Options{OwnNamespace: s.options.config.Namespace, Namespaces: s.options.config.Registry.PlatformNamespaces, Index: s.index, Quota: s.options.config.Registry.PlatformNamespaceQuota.Value(), ExcludedNamespaces: webhookconfig.SystemNamespaces}
	if shared, ok := s.store.(*kubestore.Store); ok {
		o.Stored = shared.Stored
	}
	if s.cluster != nil {
		running, err := workloads.New(s.cluster)
		if err != nil {
			return nil, err
		}
		o.Workloads, o.Observer, o.OnTargetCreated = running, &s.observer, s.labelNamespaceNow
		if s.labeler, err = s.newLabeler(); err != nil {
			return nil, err
		}
	}
	return registry.New(context.Background(), s.traces.Store(s.store), o)
}

// run starts all parts, waits, and stops them. What has not started when
// signaled ends never does.
func (s *server) run(signaled context.Context) (err error) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(signaled))
	defer cancel(nil)
	defer func() { err = errors.Join(err, s.close()) }()
	started := context.AfterFunc(signaled, func() { cancel(context.Canceled) })
	if err := s.start(ctx, cancel); err != nil {
		if signaled.Err() != nil {
			s.log.Info("stopped during startup", "while", err)
			return nil
		}
		return err
	}
	started()
	select {
	case <-ctx.Done():
	case <-signaled.Done():
		s.drain(ctx)
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	s.log.Info("stopping: finishing requests in flight")
	return nil
}

// start brings up every part. A part that fails later calls fail.
func (s *server) start(ctx context.Context, fail context.CancelCauseFunc) error {
	if s.options.config.Health.BindAddress != "" { // first, so that /readyz reports the progress of the rest
		if err := s.serveHTTP(fail, &s.options.config.Health.BindAddress, s.addProbes(http.NewServeMux()), nil); err != nil {
			return fmt.Errorf("probes: %w", err)
		}
	}
	secure, err := s.restTLS()
	if err != nil {
		return err
	}
	if err := s.serveHTTP(fail, &s.options.config.REST.BindAddress, s.traces.REST(s.rest), secure); err != nil {
		return fmt.Errorf("REST API: %w", err)
	}
	s.options.config.REST.URL = cmp.Or(s.options.config.REST.URL, s.options.config.REST.Scheme()+s.options.config.REST.BindAddress)
	s.closers = append(s.closers, func() error { close(s.closing); return nil }) // before the server waits for requests
	if err := s.serveMetrics(fail); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	if s.embedded != nil {
		if err := s.serveAdmin(); err != nil {
			s.log.Warn("admin socket not served: drey backup fails while drey runs", "error", err)
		}
	}
	if s.cluster == nil {
		s.log.Info("no cluster: serving the registry alone; give --kubeconfig to serve the webhooks too")
	} else if err := s.serveWebhooks(ctx, fail); err != nil {
		return err
	}
	s.up.Store(true)
	s.log.Info("drey is up", "version", s.options.Build.Version, "rest", s.options.config.REST.Scheme()+s.options.config.REST.BindAddress, "auth", strings.Join(s.options.config.REST.Auth, ","), "metrics", s.options.metricsURL(),
		"targets", s.index.Len(), "cluster", s.cluster != nil)
	return nil
}

// serveHTTP listens before it returns, and serves until close; with TLS unless
// secure is nil. The port 0 of the address is replaced by the one that the system chose.
func (s *server) serveHTTP(fail context.CancelCauseFunc, address *string, handler http.Handler, secure *tls.Config) error {
	listener, err := net.Listen("tcp", *address)
	if err != nil {
		return err
	}
	if host, port, err := net.SplitHostPort(*address); err == nil && port == "0" {
		_, chosen, _ := net.SplitHostPort(listener.Addr().String()) // always host:port
		*address = net.JoinHostPort(host, chosen)
	}
	serves := *address
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(s.options.config.EnableHTTP2)
	server := &http.Server{
		Handler:           handler,
		TLSConfig:         secure,
		Protocols:         protocols,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
	s.parts.Go(func() {
		serve := server.Serve
		if secure != nil {
			serve = func(l net.Listener) error { return server.ServeTLS(l, "", "") }
		}
		if err := serve(listener); !errors.Is(err, http.ErrServerClosed) {
			fail(fmt.Errorf("serve %s: %w", serves, err))
		}
	})
	s.closers = append(s.closers, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
		defer cancel()
		return server.Shutdown(ctx)
	})
	return nil
}

// shutdownTimeout bounds how long requests in flight may take at shutdown.
const shutdownTimeout = 20 * time.Second

// drain keeps serving after /readyz turns 503, until endpoints have propagated.
func (s *server) drain(ctx context.Context) {
	s.stopping.Store(true)
	if s.options.config.Health.BindAddress == "" || s.options.config.Health.ShutdownDelay.Duration == 0 {
		return
	}
	s.log.Info("draining: not ready, still serving", "for", s.options.config.Health.ShutdownDelay.Duration)
	select {
	case <-ctx.Done():
	case <-time.After(s.options.config.Health.ShutdownDelay.Duration):
	}
}

// close stops the parts, the last one first.
func (s *server) close() error {
	var errs []error
	for _, end := range slices.Backward(s.closers) {
		errs = append(errs, end())
	}
	s.closers = nil
	s.parts.Wait()
	return errors.Join(errs...)
}
