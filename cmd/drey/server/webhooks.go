package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	configv1alpha1 "drey.dev/drey/config/v1alpha1"
	"drey.dev/drey/registry"
	"drey.dev/drey/registry/kubestore"
	"drey.dev/drey/webhook"
	"drey.dev/drey/webhook/controllers/repair"
	"drey.dev/drey/webhook/serving"
	"drey.dev/drey/webhook/verdict"
)

// ClusterConfig returns the client configuration of a kubeconfig or, if that is
// empty, of the pod that this process runs in; nil without error outside a pod.
func ClusterConfig(kubeconfig string) (*rest.Config, error) {
	if kubeconfig != "" {
		config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
		if err != nil {
			return nil, fmt.Errorf("--kubeconfig %s: %w", kubeconfig, err)
		}
		return config, nil
	}
	config, err := rest.InClusterConfig()
	if errors.Is(err, rest.ErrNotInCluster) {
		return nil, nil
	}
	return config, err
}

// serveWebhooks starts the webhooks and the controllers, and registers the
// webhooks with --install-webhooks once they serve.
func (s *server) serveWebhooks(ctx context.Context, fail context.CancelCauseFunc) error {
	host, _, err := net.SplitHostPort(s.options.config.Webhooks.BindAddress)
	if err != nil {
		return err
	}
	certificate, err := s.serveCertificates(ctx, fail, host)
	if err != nil {
		return err
	}
	secure, err := s.options.webhookTLS(certificate.GetCertificate)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx)) // ended by close, in its turn
	watches, err := s.watchCluster(ctx)
	if err != nil {
		stop()
		return err
	}
	s.caches.Store(&verdict.Caches{Registry: s.index, Running: watches.owners, Registered: watches.registered.HadTarget})
	objects, err := s.registryWebhook()
	if err != nil {
		stop()
		return err
	}
	server, err := serving.New(s.options.config.Webhooks.BindAddress, secure, s.log, webhook.New(webhook.Options{
		Registry: s.index, Owners: s.traces.Owners(watches.owners), Trace: s.traces.Webhooks(), Mode: watches.modes.Of, HadTarget: watches.registered.HadTarget,
		Refresh: s.refreshTargets(), AwaitRegistered: watches.registered.AwaitRegistered,
		Draining: s.stopping.Load, Observe: s.recordDenial(watches.denied), Log: s.log, Exclude: s.options.excludedNamespaces(), Metrics: s.metrics,
		Address: s.registryHint(), Contact: watches.contacts.of, Objects: objects, StatesPath: certificate.StatesPath,
	}).Handlers())
	if err != nil {
		stop()
		return fmt.Errorf("--webhook-bind-address %s: %w", s.options.config.Webhooks.BindAddress, err)
	}
	stopped := make(chan struct{})
	var failure error // of the server, once stopped is closed
	s.closers = append(s.closers, func() error { stop(); <-stopped; return nil })
	s.parts.Go(func() {
		defer close(stopped)
		if failure = server.Run(ctx); failure != nil {
			fail(fmt.Errorf("webhooks: %w", failure))
		}
	})
	s.ready = append(s.ready, server.Ready, certificate.Ready)
	if err := poll(stopped, server.Ready); err != nil {
		stop()
		<-stopped
		return fmt.Errorf("webhooks: %w", cmp.Or(failure, err))
	}
	if err := s.startControllers(ctx, watches, fail); err != nil {
		return err
	}
	if !s.options.config.Webhooks.Install {
		return nil
	}
	return s.install(ctx, certificate, objects != nil)
}

// startControllers runs the controllers: in the leader, or at once with the
// embedded store, which one process alone opens.
func (s *server) startControllers(ctx context.Context, w watches, fail context.CancelCauseFunc) error {
	repairer, err := s.newRepairer(w)
	if err != nil {
		return err
	}
	s.repairer.Store(repairer)
	control := func(ctx context.Context) error { return s.runControllers(ctx, repairer) }
	s.parts.Go(func() {
		var err error
		if s.embedded != nil {
			err = control(ctx)
		} else {
			err = s.lead(ctx, leaseControllers, control)
		}
		if err != nil && ctx.Err() == nil {
			fail(err)
		}
	})
	return nil
}

// runControllers labels namespaces, repairs pod labels and writes the status of
// targets, until ctx ends or one of them fails.
func (s *server) runControllers(ctx context.Context, repairer *repair.Repairer) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var parts sync.WaitGroup
	run := func(name string, controller func(context.Context) error) {
		parts.Go(func() {
			if err := controller(ctx); err != nil && ctx.Err() == nil {
				fail(fmt.Errorf("%s: %w", name, err))
			}
		})
	}
	if store, ok := s.store.(*kubestore.Store); ok {
		run("target status", func(ctx context.Context) error { store.ReportStatus(ctx); return nil })
		run("workloads of targets", func(ctx context.Context) error { s.targets.report(ctx, s.inventory, store); return nil })
	}
	writer, err := s.newReports()
	if err != nil {
		return err
	}
	run("reports", func(ctx context.Context) error { writer.Run(ctx); return nil })
	run("namespace labels", s.labelNamespaces)
	run("repair", func(ctx context.Context) error { return s.repair(ctx, repairer) })
	parts.Wait()
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// refreshTargets returns a function that waits for targets that other processes have just
// created, nil if there are no other processes.
func (s *server) refreshTargets() func(context.Context) error {
	store, ok := s.store.(*kubestore.Store)
	if !ok {
		return nil
	}
	return func(ctx context.Context) error { return store.Refresh(ctx, registry.DeploymentTarget) }
}

// registryHint says in denials where to register a target.
func (s *server) registryHint() verdict.RegisterHint {
	return verdict.RegisterHint{URL: s.options.config.REST.URL, NeedsToken: !s.options.config.REST.AuthIsOff(), InCluster: s.options.config.Registry.Store == configv1alpha1.StoreKubernetes, Contact: s.options.config.Webhooks.Contact}
}

// pollTimeout bounds how long startup waits for a part.
const pollTimeout = 10 * time.Second

// poll retries check until it succeeds, for pollTimeout or until stopped is
// closed.
func poll(stopped <-chan struct{}, check func() error) error {
	var err error // of the last check
	_ = wait.PollUntilContextTimeout(wait.ContextForChannel(stopped), 20*time.Millisecond, pollTimeout, true, func(context.Context) (bool, error) {
		err = check()
		return err == nil, nil
	})
	return err
}
