package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"drey.dev/drey/certs"
	configv1alpha1 "drey.dev/drey/config/v1alpha1"
	webhookconfig "drey.dev/drey/webhook/config"
	"drey.dev/drey/webhook/serving"
)

// webhookTLS returns the TLS configuration of the webhooks.
func (o *Options) webhookTLS(certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)) (serving.TLS, error) {
	c := o.config.Webhooks.TLS
	secure := serving.TLS{Certificate: certificate, MinVersion: tls.VersionTLS13, ClientName: c.ClientName, HTTP2: o.config.EnableHTTP2}
	if c.MinVersion == "1.2" {
		secure.MinVersion = tls.VersionTLS12
	}
	if c.ClientCAFile == "" {
		return secure, nil
	}
	text, err := os.ReadFile(c.ClientCAFile)
	if err != nil {
		return secure, fmt.Errorf("--webhook-client-ca: %w", err)
	}
	if secure.ClientCAs = x509.NewCertPool(); !secure.ClientCAs.AppendCertsFromPEM(text) {
		return secure, fmt.Errorf("--webhook-client-ca %s: no certificate in it; want PEM", c.ClientCAFile)
	}
	return secure, nil
}

// certificates serve the webhooks' certificate, from one issuer.
type certificates interface {
	// GetCertificate is for tls.Config.
	GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// Ready returns nil while the API server trusts the served certificate.
	Ready() error
	// StatesPath reports whether a webhook configuration states a URL path.
	StatesPath(ctx context.Context, path string) bool
	// Run reloads the served certificate until ctx ends: in every replica.
	Run(ctx context.Context) error
	// Lead rotates certificates and path tokens until ctx ends: in the leader.
	Lead(ctx context.Context) error
}

// serveCertificates starts the issuer of --certs and returns once it has a
// certificate.
func (s *server) serveCertificates(ctx context.Context, fail context.CancelCauseFunc, host string) (certificates, error) {
	mode, err := s.issuer()
	if err != nil {
		return nil, err
	}
	o := s.options.config.Certificates
	options := certs.Options{
		Cluster: s.cluster, Namespace: s.options.config.Namespace, Configuration: webhookconfig.Name, Paths: webhookconfig.Paths(), Hosts: s.webhookHosts(host),
		CALifetime: o.CALifetime.Duration, Lifetime: o.Lifetime.Duration, CAPropagationDelay: o.CAPropagationDelay.Duration, Log: s.log, Metrics: s.metrics,
	}
	var c certificates
	switch mode {
	case configv1alpha1.IssuerMemory:
		m, err := certs.NewMemory(options.Hosts...)
		if err != nil {
			return nil, err
		}
		s.setCertificates(m)
		return m, nil
	case configv1alpha1.IssuerSelfSigned:
		c, err = certs.NewSelfSigned(options)
	case configv1alpha1.IssuerCertManager:
		c, err = certs.NewCertManager(options)
	}
	if err != nil {
		return nil, err
	}
	s.setCertificates(c)
	s.log.Info("certificates", "mode", mode, "namespace", options.Namespace)
	life, stop := context.WithCancel(context.WithoutCancel(ctx)) // ended after the webhooks have stopped
	s.closers = append(s.closers, func() error { stop(); return nil })
	s.parts.Go(func() {
		if err := c.Run(life); err != nil && life.Err() == nil {
			fail(fmt.Errorf("certificates: %w", err))
		}
	})
	s.parts.Go(func() {
		if err := s.lead(life, leaseCertificates, c.Lead); err != nil && life.Err() == nil {
			fail(err)
		}
	})
	return c, s.awaitCertificate(ctx, c)
}

// issuer resolves --certs auto.
func (s *server) issuer() (string, error) {
	mode := s.options.config.Certificates.Issuer
	if mode == configv1alpha1.IssuerAuto && s.options.config.Webhooks.Install {
		return configv1alpha1.IssuerMemory, nil
	}
	if mode != configv1alpha1.IssuerAuto && mode != configv1alpha1.IssuerCertManager {
		return mode, nil
	}
	served, err := certs.CertManagerServed(s.cluster)
	switch {
	case err != nil:
		return "", err
	case served:
		return configv1alpha1.IssuerCertManager, nil
	case mode == configv1alpha1.IssuerCertManager:
		return "", errors.New("--certs cert-manager: the cluster does not serve cert-manager.io/v1. Install cert-manager, or use --certs self-signed")
	}
	return configv1alpha1.IssuerSelfSigned, nil
}

// awaitCertificate waits for the first certificate, and logs why there is none yet.
func (s *server) awaitCertificate(ctx context.Context, c certificates) error {
	logged := time.Now()
	if err := wait.PollUntilContextCancel(ctx, 50*time.Millisecond, true, func(context.Context) (bool, error) {
		_, err := c.GetCertificate(nil)
		if err != nil && time.Since(logged) > 10*time.Second {
			s.log.Warn("waiting for the first certificate", "reason", c.Ready())
			logged = time.Now()
		}
		return err == nil, nil
	}); err != nil {
		return context.Cause(ctx)
	}
	return nil
}

// setCertificates makes a certificate available to all listeners.
func (s *server) setCertificates(c certificates) { s.certificates.Store(&c) }

// webhookHosts are the names by which the API server calls the webhooks.
func (s *server) webhookHosts(host string) []string {
	all := []string{"localhost", "127.0.0.1", fmt.Sprintf("drey.%s.svc", s.options.config.Namespace)}
	if host != "" {
		all = append(all, host)
	}
	return all
}
