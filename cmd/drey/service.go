package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
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
	clusterclient "k8s.io/client-go/rest"
	"k8s.io/client-go/tools/record"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/boltstore"
	"drey.dev/drey/registry/rest"
	"drey.dev/drey/registry/workloads"
	"drey.dev/drey/webhook"
	"drey.dev/drey/webhook/gate"
	"drey.dev/drey/webhook/repair"
)

// service is a running drey: its parts, and what has to be closed at the end.
type service struct {
	options serveOptions
	log     *slog.Logger
	out     io.Writer // for what is no log
	metrics *prometheus.Registry

	cluster  *clusterclient.Config // nil: there is none
	recorder record.EventRecorder  // nil: there is no cluster
	store    registry.Store
	embedded *boltstore.Store // the same; nil if the cluster keeps it
	index    *registry.Index
	rules    *registry.Registry // over the store
	rest     http.Handler
	traces   *traces                     // nil: nobody wants any
	keeper   *gate.Keeper                // of the marks; nil without a cluster
	runs     func(namespace string) bool // whether what was admitted runs there

	repairer atomic.Pointer[repair.Repairer] // nil until the webhooks are started
	serving  atomic.Pointer[certificates]    // of the webhooks; nil until they are started
	up       atomic.Bool                     // every part has been started
	stopping atomic.Bool

	ready   []func() error // each is nil once its part serves
	closers []func() error // called last to first
	parts   sync.WaitGroup
}

// newService opens the store. Nothing listens yet.
func newService(ctx context.Context, o serveOptions, log *slog.Logger, out io.Writer) (*service, error) {
	config, err := clusterConfig(o.kubeconfig)
	if err != nil {
		return nil, err
	}
	if config == nil && o.installWebhooks {
		return nil, errors.New("--install-webhooks needs a cluster: give --kubeconfig")
	}
	if config == nil {
		if err := o.checkAlone(); err != nil {
			return nil, &exitError{exitUsage, err}
		}
	}
	s := &service{options: o, log: log, out: out, cluster: config, metrics: prometheus.NewRegistry()}
	s.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if s.traces, err = newTraces(ctx, o.traces); err != nil {
		return nil, err
	}
	s.closers = append(s.closers, s.traces.close)
	if config != nil && s.traces != nil {
		config.Wrap(s.traces.calls)
	}
	if config != nil {
		life, end := context.WithCancel(context.WithoutCancel(ctx)) // it ends in its turn, by close
		s.closers = append(s.closers, func() error { end(); return nil })
		if s.recorder, err = newRecorder(life, config); err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	if err := s.openStore(ctx); err != nil {
		return nil, errors.Join(err, s.close())
	}
	s.closers = append(s.closers, s.store.Close)
	s.index = registry.NewIndex(o.namespace)
	s.metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "drey_targets", Help: "DeploymentTargets in the registry.",
	}, func() float64 { return float64(s.index.Len()) }))

	if s.rest, err = s.newREST(); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *service) newREST() (http.Handler, error) {
	var err error
	if s.rules, err = s.newRegistry(); err != nil {
		return nil, err
	}
	known, err := s.authenticator(context.Background(), s.rules)
	if err != nil {
		return nil, err
	}
	return rest.New(rest.Options{
		Registry: s.rules, Log: s.log, Build: rest.Build{Version: version, Time: date, Commit: commit}, Metrics: s.metrics,
		Access: known, AccessLog: s.options.accessLog,
	}), nil
}

// newRegistry puts the rules over the store. With a cluster, they know what runs
// there.
func (s *service) newRegistry() (*registry.Registry, error) {
	o := registry.Options{Home: s.options.namespace, Namespaces: s.options.platformNamespaces, Index: s.index}
	if s.cluster != nil {
		running, err := workloads.New(s.cluster)
		if err != nil {
			return nil, err
		}
		o.Workloads, o.Announce, o.Unserved = running, s.markAtOnce, webhook.SystemNamespaces
		if s.keeper, err = s.newKeeper(); err != nil {
			return nil, err
		}
	}
	return registry.New(context.Background(), s.traces.store(s.store), o)
}

// start brings up every part. fail is called when one of them ends by itself
// later on.
func (s *service) start(ctx context.Context, fail context.CancelCauseFunc) error {
	if s.options.probeAddress != "" { // first: whoever watches sees how far drey is
		if err := s.serveHTTP(fail, s.options.probeAddress, s.probes(http.NewServeMux()), nil); err != nil {
			return fmt.Errorf("probes: %w", err)
		}
	}
	secure, err := s.restTLS()
	if err != nil {
		return err
	}
	if err := s.serveHTTP(fail, s.options.restAddress, s.traces.rest(s.rest), secure); err != nil {
		return fmt.Errorf("REST API: %w", err)
	}
	if err := s.serveOperations(fail); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	if s.embedded != nil {
		if err := s.serveAdmin(); err != nil {
			s.log.Warn("drey backup will not work while drey runs", "error", err)
		}
	}
	if s.cluster == nil {
		s.log.Info("no cluster: serving the registry alone; give --kubeconfig to serve the webhooks too")
	} else if err := s.serveWebhooks(ctx, fail); err != nil {
		return err
	}
	s.up.Store(true)
	s.log.Info("drey is up", "version", version, "rest", s.options.auth.scheme()+s.options.restAddress, "auth", strings.Join(s.options.auth.ways, ","), "metrics", s.options.metricsURL(),
		"targets", s.index.Len(), "cluster", s.cluster != nil)
	return nil
}

// serveHTTP listens before it returns, and serves until close: with TLS unless
// tls is nil.
func (s *service) serveHTTP(fail context.CancelCauseFunc, address string, handler http.Handler, secure *tls.Config) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(s.options.enableHTTP2)
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
			fail(fmt.Errorf("serve %s: %w", address, err))
		}
	})
	s.closers = append(s.closers, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), finish)
		defer cancel()
		return server.Shutdown(ctx)
	})
	return nil
}

// finish is how long requests under way have to finish when drey stops.
const finish = 20 * time.Second

// close stops the parts, the last one first.
func (s *service) close() error {
	var errs []error
	for _, end := range slices.Backward(s.closers) {
		errs = append(errs, end())
	}
	s.closers = nil
	s.parts.Wait()
	return errors.Join(errs...)
}
