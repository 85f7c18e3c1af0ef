package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"drey.dev/drey/certs"
	"drey.dev/drey/webhook"
)

// certOptions are the flags that say what the webhooks are served with, and to
// whom.
type certOptions struct {
	mode                         string
	caLifetime, lifetime, settle time.Duration
	minTLS                       string
	clientCA, clientName         string
}

// Where certificates come from.
const (
	certsAuto        = "auto"
	certsSelfSigned  = "self-signed"
	certsCertManager = "cert-manager"
	certsMemory      = "memory"
)

func (c *certOptions) bind(f *pflag.FlagSet) {
	f.StringVar(&c.mode, "certs", certsAuto, "where the certificate of the webhooks comes from: cert-manager, self-signed (made by drey, in a Secret that the replicas share), memory (made by this process, for a drey outside of the cluster), or auto (memory with --install-webhooks; without it cert-manager if the cluster has it, else self-signed)")
	f.DurationVar(&c.caLifetime, "certs-ca-lifetime", certs.DefaultCALifetime, "life of the CA that signs the webhooks' certificate; it is replaced at two thirds of it")
	f.DurationVar(&c.lifetime, "certs-lifetime", certs.DefaultLifetime, "life of the webhooks' certificate; it is replaced at two thirds of it")
	f.DurationVar(&c.settle, "ca-propagation-delay", certs.DefaultSettle, "how long a new CA is in the caBundles before a certificate that needs it is served; longer than an API server takes to see a change")
	f.StringVar(&c.minTLS, "webhook-tls-min-version", "1.3", "oldest version of TLS that the webhooks speak: 1.3 or 1.2")
	f.StringVar(&c.clientCA, "webhook-client-ca", "", "file with the CAs, in PEM, of the client certificate that the API server shows to webhooks; empty: it needs none")
	f.StringVar(&c.clientName, "webhook-client-name", "", "with --webhook-client-ca: the common name in that certificate; empty: any")
}

func (c *certOptions) check() error {
	switch c.mode {
	case certsAuto, certsSelfSigned, certsCertManager, certsMemory:
	default:
		return fmt.Errorf("--certs is %q: use auto, cert-manager, self-signed or memory", c.mode)
	}
	if c.minTLS != "1.3" && c.minTLS != "1.2" {
		return fmt.Errorf("--webhook-tls-min-version is %q: use 1.3 or 1.2", c.minTLS)
	}
	if c.clientName != "" && c.clientCA == "" {
		return errors.New("--webhook-client-name is checked in certificates that --webhook-client-ca vouches for: give that, too")
	}
	return nil
}

// tls is what the webhooks are served with.
func (c *certOptions) tls(certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)) (webhook.TLS, error) {
	secure := webhook.TLS{Certificate: certificate, MinVersion: tls.VersionTLS13, ClientName: c.clientName}
	if c.minTLS == "1.2" {
		secure.MinVersion = tls.VersionTLS12
	}
	if c.clientCA == "" {
		return secure, nil
	}
	text, err := os.ReadFile(c.clientCA)
	if err != nil {
		return secure, fmt.Errorf("--webhook-client-ca: %w", err)
	}
	if secure.ClientCAs = x509.NewCertPool(); !secure.ClientCAs.AppendCertsFromPEM(text) {
		return secure, fmt.Errorf("--webhook-client-ca %s: there is no certificate in it: it has to be PEM", c.clientCA)
	}
	return secure, nil
}

// certificates are those of one mode.
type certificates interface {
	// GetCertificate is what tls.Config.GetCertificate wants.
	GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// Ready returns nil while the API server trusts what is served.
	Ready() error
	// Run keeps up with what is to be served, until ctx ends: in every replica.
	Run(ctx context.Context) error
	// Lead sees to it that there is something to serve, until ctx ends: in the leader.
	Lead(ctx context.Context) error
}

// serveCertificates starts what the flags ask for, and returns once there is a
// certificate; with a caBundle if nobody else writes it.
func (s *service) serveCertificates(ctx context.Context, fail context.CancelCauseFunc, host string) (certificates, []byte, error) {
	mode, err := s.certsMode()
	if err != nil {
		return nil, nil, err
	}
	o := s.options.certs
	options := certs.Options{
		Cluster: s.cluster, Namespace: s.options.namespace, Configuration: webhook.ConfigurationName, Hosts: s.hosts(host),
		CALifetime: o.caLifetime, Lifetime: o.lifetime, Settle: o.settle, Log: s.log, Metrics: s.metrics,
	}
	var c certificates
	switch mode {
	case certsMemory:
		m, err := certs.NewMemory(options.Hosts...)
		if err != nil {
			return nil, nil, err
		}
		s.share(m)
		return m, m.CABundle(), nil
	case certsSelfSigned:
		c, err = certs.NewSelfSigned(options)
	case certsCertManager:
		c, err = certs.NewCertManager(options)
	}
	if err != nil {
		return nil, nil, err
	}
	s.share(c)
	s.log.Info("certificates", "mode", mode, "namespace", options.Namespace)
	life, stop := context.WithCancel(context.WithoutCancel(ctx)) // they serve until the webhooks have stopped
	s.closers = append(s.closers, func() error { stop(); return nil })
	s.parts.Go(func() {
		if err := c.Run(life); err != nil && life.Err() == nil {
			fail(fmt.Errorf("certificates: %w", err))
		}
	})
	s.parts.Go(func() { s.whileLeading(life, "drey-certs", c.Lead, fail) })
	return c, nil, s.awaitCertificate(ctx, c)
}

// share lets other listeners have the certificate, too.
func (s *service) share(c certificates) { s.serving.Store(&c) }

func (s *service) certsMode() (string, error) {
	mode := s.options.certs.mode
	if mode == certsAuto && s.options.installWebhooks {
		return certsMemory, nil
	}
	if mode != certsAuto && mode != certsCertManager {
		return mode, nil
	}
	served, err := certs.CertManagerServed(s.cluster)
	switch {
	case err != nil:
		return "", err
	case served:
		return certsCertManager, nil
	case mode == certsCertManager:
		return "", errors.New("--certs cert-manager: the cluster does not serve cert-manager.io/v1. Install cert-manager, or use --certs self-signed")
	}
	return certsSelfSigned, nil
}

// awaitCertificate waits for the first certificate, and says meanwhile what it
// waits for: there is nothing to serve without one.
func (s *service) awaitCertificate(ctx context.Context, c certificates) error {
	told := time.Now()
	for {
		if _, err := c.GetCertificate(nil); err == nil {
			return nil
		}
		if time.Since(told) > 10*time.Second {
			s.log.Warn("waiting for the first certificate", "reason", c.Ready())
			told = time.Now()
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// whileLeading calls lead while this process holds a Lease in drey's namespace,
// until ctx ends. It needs get, update on leases with that name there, and
// create.
func (s *service) whileLeading(ctx context.Context, lease string, lead func(context.Context) error, fail context.CancelCauseFunc) {
	client, err := coordinationclient.NewForConfig(s.cluster)
	if err != nil {
		fail(err)
		return
	}
	name, _ := os.Hostname() // for people; the uuid tells processes apart
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta: metav1.ObjectMeta{Namespace: s.options.namespace, Name: lease}, Client: client,
			LockConfig: resourcelock.ResourceLockConfig{Identity: name + "_" + uuid.NewString()},
		},
		LeaseDuration: 15 * time.Second, RenewDeadline: 10 * time.Second, RetryPeriod: 2 * time.Second,
		ReleaseOnCancel: true, Name: lease,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) {
				s.log.Info("leading", "lease", lease)
				if err := lead(ctx); err != nil && ctx.Err() == nil {
					fail(fmt.Errorf("%s: %w", lease, err))
				}
			},
			OnStoppedLeading: func() { s.log.Info("not leading any more", "lease", lease) },
		},
	})
	if err != nil {
		fail(err)
		return
	}
	for ctx.Err() == nil {
		elector.Run(ctx) // returns when the lease is lost
	}
}
