// Package kubestore is a registry.Store in the cluster itself: each object of
// the registry is a custom resource of group drey.dev, in the Kubernetes
// namespace that is called like its platform namespace, so that kubectl, RBAC,
// audit, backup and GitOps work on it as on everything else.
//
// Reads come from memory, which the API server's watches keep up to date; see
// [Store] for how far behind that may be. docs/kubernetes.md shows the objects.
package kubestore

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/kubestore/internal/codec"
	v1 "drey.dev/drey/registry/kubestore/v1"
)

// Options are what a store may be told. The zero value is fine.
type Options struct {
	// CreateNamespaces lets the store make the Kubernetes namespace of a new
	// platform namespace, where there is none. Otherwise it is refused.
	CreateNamespaces bool

	// Only is the platform namespace that the store reads and writes, for those who may
	// not list the objects of others; empty: all of them.
	Only string

	// Person says that the store acts for a person, with that person's rights: what is
	// forbidden is refused with [registry.ReasonForbidden]. Else it acts for drey, and
	// that passes when somebody gives drey the right.
	Person bool

	// Home is the Kubernetes namespace that drey runs in, where a target without one
	// points. Empty: nobody can say whether such a target is ready.
	Home string

	// Serves says, for [Store.Report], why Flink cannot be let into a Kubernetes
	// namespace that is there, by its labels; nil if it can. Nil: it can anywhere.
	Serves func(namespace string, labels map[string]string) error

	// Tell is called by [Store.Report] when a target is ready no more, or is again:
	// with what an event about it has. It must not wait. Nil: nobody is told.
	Tell func(about runtime.Object, eventType, reason, message string)

	// Log is told what goes wrong in the background. Nil means slog.Default().
	Log *slog.Logger
}

// Store keeps objects as custom codec.Resources.
//
// Several processes may have stores on the same cluster. Each answers List and
// Get from its memory. What a process wrote itself it sees at once: a write
// returns when the watch has brought it. What others wrote it sees when the
// watch brings it, milliseconds later; that an object is not there is never said
// without asking the API server. Reads with [registry.Consistent]
// ask it too. While the API server is away, reads go on from memory and writes
// fail.
//
// Kinds: platform namespaces are Kubernetes namespaces, see namespaces.go; there
// are no API tokens, see tokens.go.
type Store struct {
	*mirror
	options  Options
	log      *slog.Logger
	objects  *rest.RESTClient
	metadata metadata.Interface
	dynamic  dynamic.Interface
	stop     context.CancelFunc
	closed   atomic.Bool
}

var _ registry.Store = (*Store)(nil)

const (
	// patience is how long the API server may take over one request.
	patience = 10 * time.Second
	// watchPatience is how long a write waits for the watch to bring it. It is
	// durable by then; who reads after it asks the API server instead.
	watchPatience = 2 * time.Second
)

// Open returns the registry that is in a cluster, with all of it in memory. The
// cluster must know drey's objects: see [Install]. ctx bounds the opening, not
// the store, which lives until Close.
//
// It needs the right to list and watch namespaces, and deploymenttargets,
// deployments and sessionclusters of drey.dev; and of those, to create, update
// and delete what is written. With [Options.Only] it needs these in one namespace,
// and none to namespaces.
func Open(ctx context.Context, config *rest.Config, o Options) (*Store, error) {
	s := &Store{mirror: newMirror(), options: o, log: o.Log}
	s.home, s.serves = o.Home, o.Serves
	if s.log == nil {
		s.log = slog.Default()
	}
	config = rest.CopyConfig(config)
	if config.QPS == 0 { // people wait; what they may ask for at once is bounded elsewhere
		config.QPS, config.Burst = 200, 400
	}
	var err error
	if s.metadata, err = metadata.NewForConfig(config); err != nil {
		return nil, err
	}
	if s.dynamic, err = dynamic.NewForConfig(config); err != nil {
		return nil, err
	}
	if s.objects, err = newClient(config); err != nil {
		return nil, err
	}
	for _, r := range codec.Resources { // a watch would try for ever, and not say why
		if err := s.ask(ctx, "list "+r.Plural, func(ctx context.Context) error {
			return s.request("GET").NamespaceIfScoped(o.Only, o.Only != "").Resource(r.Plural).VersionedParams(&metav1.ListOptions{Limit: 1}, metav1.ParameterCodec).Do(ctx).Error()
		}); err != nil {
			return nil, err
		}
	}
	if o.Only == "" {
		if err := s.ask(ctx, "list namespaces", func(ctx context.Context) error {
			_, err := s.metadata.Resource(namespaceResource).List(ctx, metav1.ListOptions{Limit: 1})
			return err
		}); err != nil {
			return nil, err
		}
	}
	var life context.Context
	life, s.stop = context.WithCancel(context.Background())
	if err := s.follow(ctx, life); err != nil {
		s.stop()
		return nil, fmt.Errorf("read the registry in the cluster: %w", err)
	}
	return s, nil
}

func newClient(config *rest.Config) (*rest.RESTClient, error) {
	scheme := runtime.NewScheme()
	if err := v1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	config = rest.CopyConfig(config)
	config.UserAgent = cmp.Or(config.UserAgent, rest.DefaultKubernetesUserAgent()) // its name is that of the field manager
	config.GroupVersion = &v1.GroupVersion
	config.APIPath = "/apis"
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	config.ContentType = runtime.ContentTypeJSON
	config.AcceptContentTypes = runtime.ContentTypeJSON
	return rest.RESTClientFor(config)
}

// Close implements registry.Store.
func (s *Store) Close() error {
	if !s.closed.Swap(true) {
		s.stop()
		s.feed.Close()
	}
	return nil
}

func (s *Store) usable(ctx context.Context) error {
	if s.closed.Load() {
		return registry.ErrClosed
	}
	return ctx.Err()
}

// ask makes one request, and says of its failure what that means.
func (s *Store) ask(ctx context.Context, doing string, request func(context.Context) error) error {
	bounded, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return s.options.failure(ctx, doing, request(bounded))
}

// request begins a request. The client repeats one whose connection broke or that
// the API server put off, every second; ten times, if one lets it.
func (s *Store) request(verb string) *rest.Request { return s.objects.Verb(verb).MaxRetries(2) }
