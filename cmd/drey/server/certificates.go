package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/pflag"

	"drey.dev/drey/certs"
	webhookconfig "drey.dev/drey/webhook/config"
	"drey.dev/drey/webhook/serving"
)

// certificateOptions configure TLS of the webhooks.
type certificateOptions struct {
	mode                              string
	caLifetime, lifetime, propagation time.Duration
	minTLS                            string
	clientCA, clientName              string
}

// Values of --certs.
const (
	certsAuto        = "auto"
	certsSelfSigned  = "self-signed"
	certsCertManager = "cert-manager"
	certsMemory      = "memory"
)

func (c *certificateOptions) bind(f *pflag.FlagSet) {
	f.StringVar(&c.mode, "certs", certsAuto, "issuer of the webhooks' certificate: cert-manager, self-signed (by drey, in a Secret shared by the replicas), memory (by this process, for a drey outside of the cluster), or auto (memory with --install-webhooks; else cert-manager if the cluster serves it, else self-signed)")
	f.DurationVar(&c.caLifetime, "certs-ca-lifetime", certs.DefaultCALifetime, "lifetime of the CA of the webhooks' certificate; rotated at two thirds")
	f.DurationVar(&c.lifetime, "certs-lifetime", certs.DefaultLifetime, "lifetime of the webhooks' certificate; rotated at two thirds")
	f.DurationVar(&c.propagation, "ca-propagation-delay", certs.DefaultCAPropagationDelay, "how long a new CA is in the caBundles before its certificates are served; more than the propagation delay of the API servers")
	f.StringVar(&c.minTLS, "webhook-tls-min-version", "1.3", "minimum TLS version of the webhooks: 1.3 or 1.2")
	f.StringVar(&c.clientCA, "webhook-client-ca", "", "CA file, in PEM, of the API server's client certificate; empty: no client certificate is required")
	f.StringVar(&c.clientName, "webhook-client-name", "", "with --webhook-client-ca: required common name of the client certificate; empty: any")
}

func (c *certificateOptions) check() error {
	switch c.mode {
	case certsAuto, certsSelfSigned, certsCertManager, certsMemory:
	default:
		return fmt.Errorf("--certs is %q: use auto, cert-manager, self-signed or memory", c.mode)
	}
	if c.minTLS != "1.3" && c.minTLS != "1.2" {
		return fmt.Errorf("--webhook-tls-min-version is %q: use 1.3 or 1.2", c.minTLS)
	}
	if c.clientName != "" && c.clientCA == "" {
		return errors.New("--webhook-client-name requires --webhook-client-ca")
	}
	return nil
}

// tls returns the TLS configuration of the webhooks.
func (c *certificateOptions) tls(certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)) (serving.TLS, error) {
	secure := serving.TLS{Certificate: certificate, MinVersion: tls.VersionTLS13, ClientName: c.clientName}
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
		return secure, fmt.Errorf("--webhook-client-ca %s: no certificate in it; want PEM", c.clientCA)
	}
	return secure, nil
}

// certificates serve the webhooks' certificate, from one issuer.
type certificates interface {
	// GetCertificate is for tls.Config.
	GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// Ready returns nil while the API server trusts the served certificate.
	Ready() error
	// Run reloads the served certificate until ctx ends: in every replica.
	Run(ctx context.Context) error
	// Lead issues and rotates certificates until ctx ends: in the leader.
	Lead(ctx context.Context) error
}

// serveCertificates starts the issuer of --certs and returns once it has a
// certificate; with a caBundle if the issuer does not write it.
func (s *server) serveCertificates(ctx context.Context, fail context.CancelCauseFunc, host string) (certificates, []byte, error) {
	mode, err := s.issuer()
	if err != nil {
		return nil, nil, err
	}
	o := s.options.certs
	options := certs.Options{
		Cluster: s.cluster, Namespace: s.options.namespace, Configuration: webhookconfig.Name, Hosts: s.webhookHosts(host),
		CALifetime: o.caLifetime, Lifetime: o.lifetime, CAPropagationDelay: o.propagation, Log: s.log, Metrics: s.metrics,
	}
	var c certificates
	switch mode {
	case certsMemory:
		m, err := certs.NewMemory(options.Hosts...)
		if err != nil {
			return nil, nil, err
		}
		s.setCertificates(m)
		return m, m.CABundle(), nil
	case certsSelfSigned:
		c, err = certs.NewSelfSigned(options)
	case certsCertManager:
		c, err = certs.NewCertManager(options)
	}
	if err != nil {
		return nil, nil, err
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
	return c, nil, s.awaitCertificate(ctx, c)
}

// issuer resolves --certs auto.
func (s *server) issuer() (string, error) {
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

// awaitCertificate waits for the first certificate, and logs why there is none yet.
func (s *server) awaitCertificate(ctx context.Context, c certificates) error {
	logged := time.Now()
	for {
		if _, err := c.GetCertificate(nil); err == nil {
			return nil
		}
		if time.Since(logged) > 10*time.Second {
			s.log.Warn("waiting for the first certificate", "reason", c.Ready())
			logged = time.Now()
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// setCertificates makes a certificate available to all listeners.
func (s *server) setCertificates(c certificates) { s.certificates.Store(&c) }

// webhookHosts are the names by which the API server calls the webhooks.
func (s *server) webhookHosts(host string) []string {
	all := []string{"localhost", "127.0.0.1", fmt.Sprintf("drey.%s.svc", s.options.namespace)}
	if host != "" {
		all = append(all, host)
	}
	return all
}
