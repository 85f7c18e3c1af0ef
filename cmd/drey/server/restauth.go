package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/access"
	"drey.dev/drey/registry/reviews"
)

// restAuth configures authentication and TLS of the REST API.
type restAuth struct {
	ways          []string
	audiences     []string
	certFile      string
	keyFile       string
	shared        bool // serve with the certificate of the webhooks
	newOwnerToken bool
}

// Values of --rest-auth.
const (
	authTokens  = "tokens"
	authCluster = "cluster"
	authOff     = "off"
)

func (a *restAuth) bind(f *pflag.FlagSet) {
	f.StringSliceVar(&a.ways, "rest-auth", []string{authOff}, "authentication of the REST API: tokens (API tokens issued by drey), cluster (users and ServiceAccounts of the cluster, by RBAC), both, separated by a comma, or off (loopback only)")
	f.StringSliceVar(&a.audiences, "rest-auth-audience", nil, "with --rest-auth cluster: accept only tokens for this audience (default: the API server's)")
	f.BoolVar(&a.newOwnerToken, "new-owner-token", false, "with --rest-auth tokens: issue and print a new owner's token, and revoke the previous one")
	f.StringVar(&a.certFile, "rest-tls-cert", "", "certificate file of the REST API, in PEM; reloaded when it changes")
	f.StringVar(&a.keyFile, "rest-tls-key", "", "key file of --rest-tls-cert")
	f.BoolVar(&a.shared, "rest-tls", false, "serve the REST API with the certificate of the webhooks; used with a cluster only")
}

func (a *restAuth) off() bool { return slices.Equal(a.ways, []string{authOff}) }
func (a *restAuth) tls() bool { return a.certFile != "" || a.shared }
func (a *restAuth) scheme() string {
	if a.tls() {
		return "https://"
	}
	return "http://"
}

// check requires TLS and authentication off loopback.
func (a *restAuth) check(address string) error {
	for _, way := range a.ways {
		switch {
		case way == authOff && len(a.ways) > 1:
			return fmt.Errorf("--rest-auth is %q: off cannot be combined", strings.Join(a.ways, ","))
		case way != authOff && way != authTokens && way != authCluster:
			return fmt.Errorf("--rest-auth is %q: use tokens, cluster, tokens,cluster or off", way)
		}
	}
	if len(a.ways) == 0 {
		return errors.New("--rest-auth is empty: use tokens, cluster, tokens,cluster or off")
	}
	if (a.certFile == "") != (a.keyFile == "") {
		return errors.New("--rest-tls-cert and --rest-tls-key go together: give both")
	}
	if a.certFile != "" && a.shared {
		return errors.New("--rest-tls and --rest-tls-cert exclude each other: give one of them")
	}
	if a.newOwnerToken && !slices.Contains(a.ways, authTokens) {
		return errors.New("--new-owner-token requires --rest-auth tokens")
	}
	local, err := isLoopback("--rest-bind-address", address)
	if err != nil || local {
		return err
	}
	var missing []string
	if !a.tls() {
		missing = append(missing, "--rest-tls-cert FILE --rest-tls-key FILE (with a cluster, --rest-tls), to encrypt it")
	}
	if a.off() {
		missing = append(missing, "--rest-auth tokens (API tokens issued by drey) or --rest-auth cluster (users and ServiceAccounts of the cluster), to authenticate callers")
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("--rest-bind-address %s is not a loopback address: add %s; or serve this machine alone: --rest-bind-address 127.0.0.1:8080",
		address, strings.Join(missing, "; and "))
}

// authenticator returns nil if authentication is off.
func (s *server) authenticator(ctx context.Context, rules *registry.Registry) (access.Authenticator, error) {
	if s.options.auth.off() {
		return nil, nil
	}
	var all access.Any
	for _, way := range s.options.auth.ways {
		switch way {
		case authTokens:
			if err := s.bootstrap(ctx, rules); err != nil {
				return nil, err
			}
			tokens, err := access.Follow(ctx, s.store)
			if err != nil {
				return nil, err
			}
			all = append(all, tokens)
		case authCluster:
			if s.cluster == nil {
				return nil, errors.New("--rest-auth cluster needs a cluster: give --kubeconfig, or use --rest-auth tokens")
			}
			users, err := reviews.New(s.cluster, s.options.auth.audiences...)
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
	secret, err := access.Bootstrap(ctx, rules, s.options.auth.newOwnerToken)
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
	case !s.options.auth.tls():
		return nil, nil
	case s.options.auth.shared:
		return s.sharedTLS(), nil
	}
	watcher, err := certwatcher.New(s.options.auth.certFile, s.options.auth.keyFile)
	if err != nil {
		return nil, fmt.Errorf("--rest-tls-cert %s, --rest-tls-key %s: %w", s.options.auth.certFile, s.options.auth.keyFile, err)
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
