package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"

	"drey.dev/drey/cmd/drey/server"
	"drey.dev/drey/registry"
	"drey.dev/drey/registry/kubestore"
	"drey.dev/drey/registry/rest"
	"drey.dev/drey/registry/workloads"
	webhookconfig "drey.dev/drey/webhook/config"
)

// serverCluster is what --server is for the registry in the cluster that kubectl would
// use: no drey is asked, and the person's own rights count.
const serverCluster = "cluster"

// defaultServer is what is asked where nobody says what.
func defaultServer() string {
	if isPlugin() {
		return serverCluster
	}
	return "http://127.0.0.1:8080"
}

// inCluster answers requests of the REST API by the registry's rules over the cluster's
// own objects: the same words as drey's, without one. It is opened with the first.
type inCluster struct {
	kubectl  kubectlCluster
	platform string // the platform namespace that is asked about

	once    sync.Once
	handler http.Handler
	err     error
}

// RoundTrip implements http.RoundTripper.
func (c *inCluster) RoundTrip(r *http.Request) (*http.Response, error) {
	c.once.Do(func() { c.handler, c.err = c.open(r.Context()) })
	if c.err != nil {
		return nil, c.err
	}
	w := &answerBuffer{header: http.Header{}, status: http.StatusOK}
	c.handler.ServeHTTP(w, r)
	return &http.Response{
		StatusCode: w.status, Status: fmt.Sprintf("%d %s", w.status, http.StatusText(w.status)), Header: w.header,
		Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()), Request: r, ProtoMajor: 1, ProtoMinor: 1,
	}, nil
}

// open reads the registry: that of all platform namespaces, or of the one that is asked
// about, if the person may not see others.
func (c *inCluster) open(ctx context.Context) (http.Handler, error) {
	config, err := c.kubectl.config()
	if err != nil {
		return nil, err
	}
	o := kubestore.Options{Person: true, Log: slog.New(slog.DiscardHandler)}
	store, err := kubestore.Open(ctx, config, o) // it goes with the process
	if registry.ReasonOf(err) == registry.ReasonForbidden {
		o.Only = c.platform
		store, err = kubestore.Open(ctx, config, o)
	}
	if refusal, ok := errors.AsType[*registry.Error](err); ok && refusal.Reason == registry.ReasonForbidden {
		return nil, &exitError{exitRefused, fmt.Errorf("the registry in the cluster at %s: %w. Whoever administers namespace %s can give you the right", config.Host, refusal, c.platform)}
	}
	if err != nil {
		return nil, fmt.Errorf("the registry in the cluster at %s cannot be read: %w", config.Host, err)
	}
	running, err := workloads.New(config)
	if err != nil {
		return nil, err
	}
	// What a person writes passes drey's webhook, which keeps references whole among
	// all who write: the person need not have the right to drey's marks.
	unshared := struct{ registry.Store }{store}
	rules, err := registry.New(context.WithoutCancel(ctx), unshared, registry.Options{Home: server.PodNamespace(), Unserved: webhookconfig.SystemNamespaces, Workloads: running, Partial: o.Only != ""})
	if err != nil {
		return nil, err
	}
	return rest.New(rest.Options{Registry: rules, Log: slog.New(slog.DiscardHandler), Build: rest.Build{}}), nil
}

// answerBuffer keeps an answer.
type answerBuffer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *answerBuffer) Header() http.Header         { return w.header }
func (w *answerBuffer) WriteHeader(status int)      { w.status = status }
func (w *answerBuffer) Write(b []byte) (int, error) { return w.body.Write(b) }
