package main

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

// restAuth are the flags that say who may use the REST API, and how the network
// between is kept from listening.
type restAuth struct {
	ways          []string
	audiences     []string
	certFile      string
	keyFile       string
	shared        bool // the certificate of the webhooks is that of REST, too
	newOwnerToken bool
}

// The ways to show who one is.
const (
	authTokens  = "tokens"
	authCluster = "cluster"
	authOff     = "off"
)

func (a *restAuth) bind(f *pflag.FlagSet) {
	f.StringSliceVar(&a.ways, "rest-auth", []string{authOff}, "how callers of the REST API show who they are: tokens (API tokens that drey gives out), cluster (users and ServiceAccounts of the cluster, by its RBAC), both with a comma between, or off (on loopback only)")
	f.StringSliceVar(&a.audiences, "rest-auth-audience", nil, "with --rest-auth cluster: take only tokens that are for this audience (default: those for the API server)")
	f.BoolVar(&a.newOwnerToken, "new-owner-token", false, "with --rest-auth tokens: make the owner's token anew and print it; the one before is of no use any more")
	f.StringVar(&a.certFile, "rest-tls-cert", "", "file with the certificate of the REST API, in PEM; read anew when it changes")
	f.StringVar(&a.keyFile, "rest-tls-key", "", "file with the key of --rest-tls-cert")
	f.BoolVar(&a.shared, "rest-tls", false, "serve the REST API with the certificate of the webhooks, instead of one in a file; used with a cluster only")
}

func (a *restAuth) off() bool { return slices.Equal(a.ways, []string{authOff}) }
func (a *restAuth) tls() bool { return a.certFile != "" || a.shared }
func (a *restAuth) scheme() string {
	if a.tls() {
		return "https://"
	}
	return "http://"
}

// check refuses to let anybody in from the network who is not known, or to send
// tokens over it for all to read.
func (a *restAuth) check(address string) error {
	for _, way := range a.ways {
		switch {
		case way == authOff && len(a.ways) > 1:
			return fmt.Errorf("--rest-auth is %q: off goes with nothing else", strings.Join(a.ways, ","))
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
		return errors.New("--rest-tls takes the certificate of the webhooks, and --rest-tls-cert one in a file: give one of the two")
	}
	if a.newOwnerToken && !slices.Contains(a.ways, authTokens) {
		return errors.New("--new-owner-token makes an API token: give --rest-auth tokens, too")
	}
	local, err := isLoopback("--rest-bind-address", address)
	if err != nil || local {
		return err
	}
	var missing []string
	if !a.tls() {
		missing = append(missing, "--rest-tls-cert FILE --rest-tls-key FILE (with a cluster, --rest-tls will do), so that nobody on the way reads along")
	}
	if a.off() {
		missing = append(missing, "--rest-auth tokens (API tokens that drey gives out) or --rest-auth cluster (users and ServiceAccounts of the cluster), so that not everybody may change everything")
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("--rest-bind-address %s is not a loopback address: whoever reaches it could use it. Add %s. Or keep it to this machine: --rest-bind-address 127.0.0.1:8080",
		address, strings.Join(missing, "; and "))
}

// authenticator is who knows the callers; nil if nobody is to ask them.
func (s *service) authenticator(ctx context.Context, rules *registry.Registry) (access.Authenticator, error) {
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

// bootstrap makes the first token, and prints it where no log is.
func (s *service) bootstrap(ctx context.Context, rules *registry.Registry) error {
	secret, err := access.Bootstrap(ctx, rules, s.options.auth.newOwnerToken)
	if err != nil || secret == "" {
		return err
	}
	_, err = fmt.Fprintf(s.out, `The owner's token, which may do everything in every platform namespace. It is
shown this once:

  %s

Give others less: drey tokens create NAME --role viewer|editor|owner -n NAMESPACE

`, secret)
	return err
}

// restTLS is how the REST API is served; nil: without TLS.
func (s *service) restTLS() (*tls.Config, error) {
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
			s.log.Error("a new certificate of the REST API will be seen at the next start only", "error", err)
		}
	})
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: watcher.GetCertificate}, nil
}

// sharedTLS serves with the certificate of the webhooks, once there is one.
func (s *service) sharedTLS() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if c := s.serving.Load(); c != nil {
			return (*c).GetCertificate(hello)
		}
		return nil, errors.New("there is no certificate of the webhooks yet")
	}}
}
