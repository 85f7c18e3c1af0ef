package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"drey.dev/drey/certs"
	"drey.dev/drey/registry"
	"drey.dev/drey/registry/boltstore"
	"drey.dev/drey/registry/rest"
	"drey.dev/drey/test/framework/fixtures"
	"drey.dev/drey/webhook"
	"drey.dev/drey/webhook/verdict"
)

// ownNamespace is the namespace that drey would run in.
const ownNamespace = "drey-system"

// parts are the parts of drey that need no cluster. The owners of pods come from recorded
// Deployments instead of informers.
type parts struct {
	rest, webhooks string       // URLs
	client         *http.Client // trusts the certificate of the webhooks

	closers []func() error // called last to first
}

// start serves the REST API over the embedded store, and the webhooks over TLS.
func start(ctx context.Context) (_ *parts, err error) {
	p := &parts{}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.stop())
		}
	}()
	ctx, cancel := context.WithCancel(ctx)
	p.closers = append(p.closers, func() error { cancel(); return nil })
	dir, err := os.MkdirTemp("", "drey-try-")
	if err != nil {
		return nil, err
	}
	p.closers = append(p.closers, func() error { return os.RemoveAll(dir) })
	store, err := boltstore.Open(filepath.Join(dir, "registry.db"))
	if err != nil {
		return nil, err
	}
	p.closers = append(p.closers, store.Close)

	log, index := slog.New(slog.DiscardHandler), registry.NewIndex(ownNamespace)
	rules, err := registry.New(ctx, store, registry.Options{OwnNamespace: ownNamespace, Index: index})
	if err != nil {
		return nil, err
	}
	server := httptest.NewServer(rest.New(rest.Options{Registry: rules, Log: log}))
	p.closers = append(p.closers, func() error { server.Close(); return nil })
	p.rest = server.URL
	return p, p.serveWebhooks(ctx, index, log)
}

func (p *parts) serveWebhooks(ctx context.Context, index *registry.Index, log *slog.Logger) error {
	deployment, err := readObject(fixture("jobmanager-deployment"))
	if err != nil {
		return err
	}
	hooks := webhook.New(webhook.Options{
		Registry: index, Owners: fixtures.Objects{deployment}, Log: log, Exclude: []string{ownNamespace}, Address: verdict.RegisterHint{URL: p.rest},
	})
	serving, err := certs.NewMemory("127.0.0.1")
	if err != nil {
		return err
	}
	trusted := x509.NewCertPool()
	if !trusted.AppendCertsFromPEM(serving.CABundle()) {
		return errors.New("invalid caBundle")
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}} //nolint:gosec // the default of a client is TLS 1.2
	p.client = &http.Client{Transport: transport}

	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		return err
	}
	server, err := webhook.NewServer(address, webhook.TLS{Certificate: serving.GetCertificate}, hooks)
	if err != nil {
		return err
	}
	p.webhooks = "https://" + address
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	p.closers = append(p.closers, func() error {
		transport.CloseIdleConnections()
		cancel()
		return <-ended
	})
	for deadline := time.Now().Add(10 * time.Second); server.Ready() != nil; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("webhooks at %s not ready after 10 s: %w", address, server.Ready())
		}
	}
	return nil
}

func (p *parts) stop() error {
	var errs []error
	for i := len(p.closers) - 1; i >= 0; i-- {
		errs = append(errs, p.closers[i]())
	}
	return errors.Join(errs...)
}
