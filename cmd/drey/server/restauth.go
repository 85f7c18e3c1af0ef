package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/certwatcher"

	configv1alpha1 "drey.dev/drey/config/v1alpha1"
	"drey.dev/drey/registry"
	"drey.dev/drey/registry/access"
	"drey.dev/drey/registry/reviews"
)

// authenticator returns nil if authentication is off.
func (s *server) authenticator(ctx context.Context, rules *registry.Registry) (access.Authenticator, error) {
	if s.options.config.REST.AuthIsOff() {
		return nil, nil
	}
	var all access.Any
	for _, way := range s.options.config.REST.Auth {
		switch way {
		case configv1alpha1.AuthTokens:
			if err := s.bootstrap(ctx, rules); err != nil {
				return nil, err
			}
			tokens, err := access.Follow(ctx, s.store)
			if err != nil {
				return nil, err
			}
			all = append(all, tokens)
		case configv1alpha1.AuthCluster:
			if s.cluster == nil {
				return nil, errors.New("--rest-auth cluster needs a cluster: give --kubeconfig, or use --rest-auth tokens")
			}
			users, err := reviews.New(s.cluster, s.options.config.REST.AuthAudiences...)
			if err != nil {
				return nil, err
			}
			all = append(all, users)
		}
	}
	return all, nil
}

// bootstrap issues the owner's token on first start, and prints it once, never
// to the log.
func (s *server) bootstrap(ctx context.Context, rules *registry.Registry) error {
	secret, err := access.Bootstrap(ctx, rules, s.options.newOwnerToken)
	if err != nil || secret == "" {
		return err
	}
	_, err = fmt.Fprintf(s.options.Out, `The owner's token, with all rights in every platform namespace. It is shown once:

  %s

Issue tokens with fewer rights: drey tokens create NAME --role viewer|editor|owner --platform-namespace NAMESPACE

`, secret)
	return err
}

// restTLS returns nil to serve the REST API without TLS.
func (s *server) restTLS() (*tls.Config, error) {
	switch {
	case !s.options.config.REST.TLS.Enabled():
		return nil, nil
	case s.options.config.REST.TLS.OfWebhooks:
		return s.sharedTLS(), nil
	}
	watcher, err := certwatcher.New(s.options.config.REST.TLS.CertFile, s.options.config.REST.TLS.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("--rest-tls-cert %s, --rest-tls-key %s: %w", s.options.config.REST.TLS.CertFile, s.options.config.REST.TLS.KeyFile, err)
	}
	ctx, stop := context.WithCancel(context.Background())
	s.closers = append(s.closers, func() error { stop(); return nil })
	s.parts.Go(func() {
		if err := watcher.Start(ctx); err != nil {
			s.log.Error("watch of the REST API's certificate failed: a new one is loaded at the next start", "error", err)
		}
	})
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: watcher.GetCertificate}, nil
}

// sharedTLS serves with the certificate of the webhooks, once it exists.
func (s *server) sharedTLS() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if c := s.certificates.Load(); c != nil {
			return (*c).GetCertificate(hello)
		}
		return nil, errors.New("no certificate of the webhooks yet")
	}}
}
