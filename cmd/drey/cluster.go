package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	admissionclient "k8s.io/client-go/kubernetes/typed/admissionregistration/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"drey.dev/drey/registry/kubestore"
	"drey.dev/drey/webhook"
	"drey.dev/drey/webhook/repair"
	"drey.dev/drey/webhook/verdict"
)

// clusterConfig says how to reach the cluster: by the kubeconfig if there is
// one, else as a pod of it. nil without error if drey is no pod.
func clusterConfig(kubeconfig string) (*rest.Config, error) {
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

// serveWebhooks serves them, and registers them with the cluster if that was
// asked for: the server first, so that the API server never calls in vain.
func (s *service) serveWebhooks(ctx context.Context, fail context.CancelCauseFunc) error {
	host, _, err := net.SplitHostPort(s.options.webhookAddress)
	if err != nil {
		return err
	}
	serving, caBundle, err := s.serveCertificates(ctx, fail, host)
	if err != nil {
		return err
	}
	secure, err := s.options.certs.tls(serving.GetCertificate)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx)) // it stops in its turn, by close
	around, err := s.watchCluster(ctx)
	if err != nil {
		stop()
		return err
	}
	objects, err := s.ownObjects()
	if err != nil {
		stop()
		return err
	}
	secure.HTTP2 = s.options.enableHTTP2
	exclude := s.options.excluded()
	server, err := webhook.NewServer(s.options.webhookAddress, secure, webhook.New(webhook.Options{
		Registry: s.index, Owners: s.traces.owners(around.owners), Trace: s.traces.webhooks(), Mode: around.modes.Of, HadTarget: around.record.HadTarget, Draining: s.stopping.Load, Observe: around.passed.observe,
		Log: s.log, Exclude: exclude, Metrics: s.metrics,
		Address: s.address(), Objects: objects,
	}))
	if err != nil {
		stop()
		return fmt.Errorf("--webhook-bind-address %s: %w", s.options.webhookAddress, err)
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
	s.ready = append(s.ready, server.Ready, serving.Ready)
	if err := until(stopped, server.Ready); err != nil {
		stop()
		<-stopped
		return fmt.Errorf("webhooks: %w", cmp.Or(failure, err))
	}
	repairer, err := s.newRepairer(around)
	if err != nil {
		return err
	}
	s.repairer.Store(repairer)
	s.parts.Go(func() {
		if err := s.lead(ctx, func(ctx context.Context) { s.control(ctx, repairer, fail) }); err != nil {
			fail(err)
		}
	})
	if !s.options.installWebhooks {
		return nil
	}
	client := webhook.ByURL("https://"+s.options.webhookAddress, caBundle)
	validating := webhook.Validating(client, exclude)
	if objects != nil {
		self, err := whoAmI(ctx, s.cluster)
		if err != nil {
			return err
		}
		validating.Webhooks = append(validating.Webhooks, webhook.ValidatingObjects(client, self))
	}
	if err := install(ctx, s.cluster, validating, webhook.Mutating(client, exclude)); err != nil {
		return err
	}
	if err := s.installPolicies(ctx); err != nil {
		return err
	}
	s.log.Info("webhooks registered; while drey is down, new Flink workloads are refused until it is back or they are removed",
		"remove", removeCommand)
	return nil
}

// removeCommand opens all gates.
const removeCommand = "kubectl delete mutatingwebhookconfiguration/drey validatingwebhookconfiguration/drey " +
	"validatingadmissionpolicybinding/drey-gate validatingadmissionpolicybinding/drey-registered-label validatingadmissionpolicybinding/drey-claim " +
	"validatingadmissionpolicy/drey-gate validatingadmissionpolicy/drey-registered-label validatingadmissionpolicy/drey-claim"

// control does what one process of a cluster does for all: until ctx ends.
func (s *service) control(ctx context.Context, repairer *repair.Repairer, fail context.CancelCauseFunc) {
	var parts sync.WaitGroup
	if store, ok := s.store.(*kubestore.Store); ok {
		parts.Go(func() { store.Report(ctx) })
	}
	parts.Go(func() {
		if err := s.keepMarks(ctx); err != nil && ctx.Err() == nil {
			fail(fmt.Errorf("marks: %w", err))
		}
	})
	parts.Go(func() {
		if err := s.repairWhile(ctx, repairer); err != nil && ctx.Err() == nil {
			fail(fmt.Errorf("repair: %w", err))
		}
	})
	parts.Wait()
}

// address is where a denial sends people to register a target.
func (s *service) address() verdict.Registry {
	return verdict.Registry{URL: s.options.restURL, AsksWho: !s.options.auth.off(), InCluster: s.options.store == storeKubernetes}
}

// hosts are the names by which the API server may call the webhooks.
func (s *service) hosts(host string) []string {
	all := []string{"localhost", "127.0.0.1", fmt.Sprintf("drey.%s.svc", s.options.namespace)}
	if host != "" {
		all = append(all, host)
	}
	return all
}

// install writes both webhook configurations by server-side apply: what drey
// does not state, others may.
func install(ctx context.Context, config *rest.Config, v *admissionv1.ValidatingWebhookConfiguration, m *admissionv1.MutatingWebhookConfiguration) error {
	api, err := admissionclient.NewForConfig(config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	options := metav1.PatchOptions{FieldManager: "drey", Force: new(true)}
	validating, err := json.Marshal(v)
	if err != nil {
		return err
	}
	mutating, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if _, err := api.ValidatingWebhookConfigurations().Patch(ctx, webhook.ConfigurationName, types.ApplyPatchType, validating, options); err != nil {
		return fmt.Errorf("register the validating webhook: %w", err)
	}
	if _, err := api.MutatingWebhookConfigurations().Patch(ctx, webhook.ConfigurationName, types.ApplyPatchType, mutating, options); err != nil {
		return fmt.Errorf("register the mutating webhook: %w", err)
	}
	return nil
}

// until waits for check to succeed: for a few seconds, or until stopped is
// closed.
func until(stopped <-chan struct{}, check func() error) error {
	deadline := time.After(10 * time.Second)
	for {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-stopped:
			return err
		case <-deadline:
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}
