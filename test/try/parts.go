package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"time"

	"drey.dev/drey/certs/rotation"
	"drey.dev/drey/registry"
	"drey.dev/drey/registry/boltstore"
	"drey.dev/drey/registry/rest"
	"drey.dev/drey/test/framework/fixtures"
	"drey.dev/drey/webhook"
	"drey.dev/drey/webhook/verdict"
)

// ownNamespace is the namespace that drey would run in.
const ownNamespace = "drey-system"

// parts are the parts of drey that need no cluster. The owners of pods come from a recorded
// Deployment instead of informers.
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
	return p, p.serveWebhooks(index, log)
}

func (p *parts) serveWebhooks(index *registry.Index, log *slog.Logger) error {
	deployment, err := readObject(fixture("jobmanager-deployment"))
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	for path, handler := range webhook.New(webhook.Options{
		Registry: index, Owners: fixtures.Objects{deployment}, Log: log, Exclude: []string{ownNamespace}, Address: verdict.RegisterHint{URL: p.rest},
	}).Handlers() {
		mux.Handle(path, handler)
	}
	policy := rotation.Policy{CALifetime: time.Hour, LeafLifetime: time.Hour, Hosts: []string{"127.0.0.1"}}
	issued, err := policy.Apply(rotation.Material{}, rotation.Observed{}, rotation.Bootstrap, time.Now())
	if err != nil {
		return err
	}
	trusted := x509.NewCertPool()
	for _, ca := range issued.Bundle {
		trusted.AddCert(ca)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS13}}
	p.client = &http.Client{Transport: transport}
	server := httptest.NewUnstartedServer(mux)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{*issued.Leaf}, MinVersion: tls.VersionTLS13}
	server.StartTLS()
	p.webhooks = server.URL
	p.closers = append(p.closers, func() error {
		transport.CloseIdleConnections()
		server.Close()
		return nil
	})
	return nil
}

func (p *parts) stop() error {
	var errs []error
	for _, end := range slices.Backward(p.closers) {
		errs = append(errs, end())
	}
	return errors.Join(errs...)
}
