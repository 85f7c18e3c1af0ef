package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"

	restclient "k8s.io/client-go/rest"

	"drey.dev/drey/cmd/drey/cli/command"
	"drey.dev/drey/cmd/drey/cli/document"
	"drey.dev/drey/cmd/drey/cli/kubectl"
	"drey.dev/drey/cmd/drey/server"
	"drey.dev/drey/registry"
	"drey.dev/drey/registry/kubestore"
	"drey.dev/drey/registry/rest"
	"drey.dev/drey/registry/workloads"
	webhookconfig "drey.dev/drey/webhook/config"
)

// InCluster is the --server for the registry in the cluster of kubectl's context,
// which is read and written with the rights of the user, without a drey.
const InCluster = "cluster"

// Loopback is the default of --server if the cluster does not keep the registry.
const Loopback = "http://127.0.0.1:8080"

// pluginServer returns the default of --server of the kubectl plugin; "" elsewhere.
func pluginServer() string {
	if kubectl.IsPlugin() {
		return InCluster
	}
	return ""
}

// inCluster serves the REST API in process, over the registry in the cluster, so that
// its errors are those of a server. It is opened by the first request.
type inCluster struct {
	kubectl  kubectl.Cluster
	platform string // platform namespace of the request

	once    sync.Once
	handler http.Handler
	store   *kubestore.Store
	ready   map[registry.Key]registry.Readiness // of targets, read before they are listed
	err     error
}

// MetadataName returns the metadata.name of an object of the cluster, as in its document of
// the REST API; empty if unknown, and elsewhere.
func (c *Client) MetadataName(k document.Kind, text []byte) string {
	if c.cluster == nil {
		return ""
	}
	store := c.cluster.Transport.(*inCluster).store
	o, err := document.FromREST(registry.Kind(k.Name), text)
	if err != nil || store == nil {
		return ""
	}
	name, _ := store.MetadataName(o.Key())
	return name
}

// RoundTrip implements http.RoundTripper.
func (c *inCluster) RoundTrip(r *http.Request) (*http.Response, error) {
	c.once.Do(func() { c.handler, c.err = c.open(r.Context()) })
	if c.err != nil {
		return nil, c.err
	}
	if r.URL.Path == "/drey/v1/targets" {
		ready, err := c.store.WrittenReadiness(r.Context())
		if err != nil {
			return nil, err
		}
		c.ready = ready
	}
	w := &responseBuffer{header: http.Header{}, status: http.StatusOK}
	c.handler.ServeHTTP(w, r)
	return &http.Response{
		StatusCode: w.status, Status: fmt.Sprintf("%d %s", w.status, http.StatusText(w.status)), Header: w.header,
		Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()), Request: r, ProtoMajor: 1, ProtoMinor: 1,
	}, nil
}

// open reads the registry: all platform namespaces, or that of the request alone if the
// user cannot list all.
func (c *inCluster) open(ctx context.Context) (http.Handler, error) {
	config, err := c.kubectl.Config()
	if err != nil {
		return nil, err
	}
	store, partial, err := OpenClusterRegistry(ctx, config, c.platform)
	if err != nil {
		return nil, err
	}
	c.store = store
	running, err := workloads.New(config)
	if err != nil {
		return nil, err
	}
	rules, err := registry.New(context.WithoutCancel(ctx), withoutMarks{store}, registry.Options{OwnNamespace: server.PodNamespace(), AnyNamespace: true, ExcludedNamespaces: webhookconfig.SystemNamespaces, Workloads: running, PartialView: partial})
	if err != nil {
		return nil, err
	}
	readiness := func(platformNamespace, target, _ string) (registry.Readiness, bool) {
		ready, ok := c.ready[registry.Key{Kind: registry.DeploymentTarget, Namespace: platformNamespace, Name: target}]
		return ready, ok
	}
	return rest.New(rest.Options{Registry: rules, Log: slog.New(slog.DiscardHandler), Build: rest.Build{}, Readiness: readiness}), nil
}

// OpenClusterRegistry opens the registry in a cluster with the rights of the user: all platform
// namespaces or, if the user cannot list all, the given one. partial reports the latter.
func OpenClusterRegistry(ctx context.Context, config *restclient.Config, platform string) (store *kubestore.Store, partial bool, err error) {
	o := kubestore.Options{UserCredentials: true, Log: slog.New(slog.DiscardHandler)}
	store, err = kubestore.Open(ctx, config, o) // closed with the process
	if registry.ReasonOf(err) == registry.ReasonForbidden {
		o.PlatformNamespace = platform
		store, err = kubestore.Open(ctx, config, o)
	}
	if refusal, ok := errors.AsType[*registry.Error](err); ok && refusal.Reason == registry.ReasonForbidden {
		return nil, false, command.WithCode(command.ExitRefused, fmt.Errorf("the registry in the cluster at %s: %w; an admin of namespace %s can grant it", config.Host, refusal, platform))
	}
	if err != nil {
		return nil, false, fmt.Errorf("read the registry in the cluster at %s: %w", config.Host, err)
	}
	return store, o.PlatformNamespace != "", nil
}

// withoutMarks writes to the store without its deletion marks, which users have no
// permission to set: the registry webhook validates their writes.
type withoutMarks struct{ registry.Store }

// Capabilities implements registry.Store.
func (withoutMarks) Capabilities() registry.Capabilities { return registry.Capabilities{} }

// responseBuffer holds a response.
type responseBuffer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *responseBuffer) Header() http.Header         { return w.header }
func (w *responseBuffer) WriteHeader(status int)      { w.status = status }
func (w *responseBuffer) Write(b []byte) (int, error) { return w.body.Write(b) }
