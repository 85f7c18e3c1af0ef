package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"drey.dev/drey/webhook"
)

// serveOptions are the flags of drey serve.
type serveOptions struct {
	dataDir            string
	restAddress        string
	restURL            string
	auth               restAuth
	accessLog          bool
	webhookAddress     string
	metricsAddress     string
	enableHTTP2        bool
	probeAddress       string
	drain              time.Duration
	kubeconfig         string
	namespace          string
	platformNamespaces []string
	logFormat          string
	logLevel           string
	installWebhooks    bool
	mode               string
	store              string
	createNamespaces   bool
	certs              certOptions
	traces             traceOptions
}

func newServeCommand() *cobra.Command {
	var o serveOptions
	c := &cobra.Command{
		Use:   "serve",
		Short: "Serve the registry over REST and, with a cluster, the webhooks",
		Long: `Serve the registry of DeploymentTargets over REST and, with a cluster, the
webhooks that label Flink pods and keep Flink out of namespaces without a target.

The cluster is the one of --kubeconfig, or the one that drey runs in. Without
either, drey serves the registry alone.`,
		Args: usage(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.complete(); err != nil {
				return &exitError{exitUsage, err}
			}
			log, err := newLogger(c.ErrOrStderr(), o.logFormat, o.logLevel)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			s, err := newService(c.Context(), o, log, c.OutOrStdout())
			if err != nil {
				return err
			}
			return s.run(c.Context())
		},
	}
	f := c.Flags()
	f.StringVar(&o.dataDir, "data-dir", "drey-data", "directory of the registry's file; made if it is not there")
	f.StringVar(&o.restAddress, "rest-bind-address", "127.0.0.1:8080", "host:port of the REST API; off loopback it needs --rest-tls-cert, --rest-tls-key and --rest-auth")
	f.StringVar(&o.restURL, "rest-url", "", "base URL at which people reach the REST API, for the commands that denials give them (default: that of --rest-bind-address)")
	o.auth.bind(f)
	f.BoolVar(&o.accessLog, "access-log", false, "log every REST request; without it, at --log-level debug only")
	f.StringVar(&o.webhookAddress, "webhook-bind-address", ":9443", "host:port of the webhooks, served over TLS; used with a cluster only")
	f.StringVar(&o.metricsAddress, "metrics-bind-address", "127.0.0.1:8081", "host:port of /metrics, /livez and /readyz; off loopback it is /metrics alone, over TLS, for those whom the cluster's RBAC lets get it")
	f.BoolVar(&o.enableHTTP2, "enable-http2", false, "offer HTTP/2 on the webhooks, /metrics and the REST API; without it they speak HTTP/1.1, which HTTP/2 Rapid Reset (CVE-2023-44487) does not concern")
	f.StringVar(&o.probeAddress, "health-probe-bind-address", "", "host:port of /livez and /readyz for a kubelet or a load balancer, without TLS; empty: those of --metrics-bind-address")
	f.DurationVar(&o.drain, "shutdown-delay", 10*time.Second, "with --health-probe-bind-address: how long drey goes on serving after SIGTERM, while /readyz says that it stops")
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig of the cluster; empty: the cluster that drey runs in, if any")
	f.StringVar(&o.namespace, "namespace", "", "Kubernetes namespace that drey counts as its own: targets without a namespace point there, and its pods are left alone (default: where drey runs, else drey-system)")
	f.StringArrayVar(&o.platformNamespaces, "platform-namespace", nil, "a platform namespace that exists beside default; may be given many times")
	f.StringVar(&o.logFormat, "log-format", "text", "text or json")
	f.StringVar(&o.logLevel, "log-level", "info", "debug, info, warn or error")
	f.BoolVar(&o.installWebhooks, "install-webhooks", false, "register the webhooks with the cluster by the URL of --webhook-bind-address, for a drey that runs outside of it")
	f.StringVar(&o.store, "store", storeEmbedded, "where the registry is kept: embedded (in a file of --data-dir; one process alone) or kubernetes (as custom resources of the cluster; any number of processes)")
	f.BoolVar(&o.createNamespaces, "create-namespaces", false, "with --store kubernetes: make the Kubernetes namespace of a new platform namespace if there is none")
	f.StringVar(&o.mode, "mode", string(webhook.Enforce), "what becomes of a workload that may not run: enforce refuses it, warn lets it pass with a warning, audit lets it pass and writes an event; the label "+webhook.ModeLabel+" of a namespace overrides it there")
	o.traces.bind(f)
	o.certs.bind(f)
	return c
}

// complete fills in what depends on where drey runs, and refuses what would be
// unsafe or could not work.
func (o *serveOptions) complete() error {
	if err := o.auth.check(o.restAddress); err != nil {
		return err
	}
	if _, err := isLoopback("--metrics-bind-address", o.metricsAddress); err != nil {
		return err
	}
	if o.probeAddress != "" {
		if _, err := isLoopback("--health-probe-bind-address", o.probeAddress); err != nil {
			return err
		}
	}
	if o.drain < 0 {
		return fmt.Errorf("--shutdown-delay is %s: it is how long to wait, 0s for not at all", o.drain)
	}
	if o.restURL = strings.TrimSuffix(o.restURL, "/"); o.restURL == "" {
		o.restURL = o.auth.scheme() + o.restAddress
	}
	if err := o.checkStore(); err != nil {
		return &exitError{exitUsage, err}
	}
	if _, err := webhook.ParseMode(o.mode); err != nil {
		return &exitError{exitUsage, fmt.Errorf("--mode: %w", err)}
	}
	if o.namespace == "" {
		o.namespace = podNamespace()
	}
	if err := errors.Join(o.certs.check(), o.traces.check()); err != nil {
		return err
	}
	host, _, err := net.SplitHostPort(o.webhookAddress)
	if err != nil {
		return fmt.Errorf("--webhook-bind-address: %w", err)
	}
	if ip := net.ParseIP(host); o.installWebhooks && (host == "" || ip != nil && ip.IsUnspecified()) {
		return fmt.Errorf("--install-webhooks registers the webhooks by the URL of --webhook-bind-address, and %q names no host: "+
			"give the address at which the API server reaches this machine, such as --webhook-bind-address 127.0.0.1:9443 if it runs here too", o.webhookAddress)
	}
	return nil
}

// checkAlone refuses what takes a cluster where there is none.
func (o *serveOptions) checkAlone() error {
	switch {
	case !o.metricsOpen():
		return fmt.Errorf("--metrics-bind-address %s is not a loopback address, and without a cluster nobody can say who may read what is served there: "+
			"use 127.0.0.1 and reach it through ssh or a proxy that authenticates, or give --kubeconfig", o.metricsAddress)
	case o.auth.shared:
		return errors.New("--rest-tls takes the certificate of the webhooks, which are served with a cluster only: give --kubeconfig, or --rest-tls-cert FILE --rest-tls-key FILE")
	}
	return nil
}

// metricsOpen tells whether everybody on this machine may read the metrics, and
// nobody else can.
func (o *serveOptions) metricsOpen() bool {
	local, err := isLoopback("--metrics-bind-address", o.metricsAddress)
	return local && err == nil
}

func (o *serveOptions) metricsURL() string {
	if o.metricsOpen() {
		return "http://" + o.metricsAddress + metricsPath
	}
	return "https://" + o.metricsAddress + metricsPath
}

// isLoopback tells whether an address is for this machine alone.
func isLoopback(flag, address string) (bool, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false, fmt.Errorf("%s: %w", flag, err)
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback(), nil
}

// podNamespace is the namespace of the pod that this process runs in.
func podNamespace() string {
	text, err := os.ReadFile("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
	if name := strings.TrimSpace(string(text)); err == nil && name != "" {
		return name
	}
	return "drey-system"
}

// run starts the parts of the service, waits until signaled ends or one of them
// fails, and stops them in reverse. What is not started yet when signaled ends
// never is.
func (s *service) run(signaled context.Context) (err error) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(signaled))
	defer cancel(nil)
	defer func() { err = errors.Join(err, s.close()) }()
	started := context.AfterFunc(signaled, func() { cancel(context.Canceled) })
	if err := s.start(ctx, cancel); err != nil {
		if signaled.Err() != nil {
			s.log.Info("stopping: drey was not up yet", "while", err)
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
	s.log.Info("stopping: requests under way are answered first")
	return nil
}

// drain goes on serving for a while after whoever watches readiness was told that
// this ends: calls come until all have heard.
func (s *service) drain(ctx context.Context) {
	s.stopping.Store(true)
	if s.options.probeAddress == "" || s.options.drain == 0 {
		return
	}
	s.log.Info("draining: not ready any more, and serving still", "for", s.options.drain)
	select {
	case <-ctx.Done():
	case <-time.After(s.options.drain):
	}
}
