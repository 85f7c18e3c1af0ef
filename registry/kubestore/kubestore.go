// Package kubestore implements registry.Store with custom resources: each object of the
// registry is a custom resource of group drey.dev, in the Kubernetes namespace with the name
// of its platform namespace. kubectl, RBAC, audit logs, backups and GitOps apply to it.
//
// Reads come from a cache that watches keep up to date; [Store] states the consistency.
// docs/reference/kubernetes.md shows the objects.
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

// Options configure a store. The zero value is valid.
type Options struct {
	// CreateNamespaces creates the Kubernetes namespace of a new platform namespace if it does
	// not exist. Otherwise the platform namespace is refused.
	CreateNamespaces bool

	// PlatformNamespace limits the store to one platform namespace, for callers
	// without list on the objects of others; "": all.
	PlatformNamespace string

	// UserCredentials: the client configuration is a user's, not drey's. A 403 is reported as
	// [registry.ReasonForbidden] (the caller lacks the permission) instead of
	// [registry.ReasonClusterUnavailable] (drey does).
	UserCredentials bool

	// OwnNamespace is the Kubernetes namespace that drey runs in, where targets without a
	// namespace point. "": the condition Ready of such targets does not depend on it.
	OwnNamespace string

	// CheckNamespace returns why Flink cannot run in an existing Kubernetes namespace with
	// these labels, for the condition Ready of its targets. Nil: it can.
	CheckNamespace func(namespace string, labels map[string]string) error

	// Observer observes what the cluster runs, for status.state. Nil: the status has no state.
	Observer registry.Observer

	// CountWorkloads returns how many workloads run by a target, and how many pods they have. ok
	// is false while that is unknown. Nil: the status has no counts.
	CountWorkloads func(platformNamespace, target string) (workloads, pods int32, ok bool)

	// RecordEvent records an event when a target becomes not ready, or ready again. It must
	// not block. Nil: no events.
	RecordEvent func(regarding runtime.Object, eventType, reason, message string)

	// Log gets the failures of background work. Nil: slog.Default().
	Log *slog.Logger
}

// Store keeps objects as custom resources.
//
// Several processes may open stores on the same cluster. Reads are read-your-writes within a
// process: a write returns after the watch has delivered it. They are eventually consistent
// across processes, within milliseconds. A cache miss, and a read with [registry.Consistent],
// is a consistent read from the API server. While the API server is down, reads are served
// from the cache and writes fail.
//
// Platform namespaces are Kubernetes namespaces; see [v1.LabelPlatform]. There are no API
// tokens.
type Store struct {
	*objectCache
	options  Options
	log      *slog.Logger
	objects  *rest.RESTClient
	metadata metadata.Interface
	dynamic  dynamic.Interface
	stop     context.CancelFunc
	closed   atomic.Bool

	refreshes refreshes
}

var _ registry.Store = (*Store)(nil)

const (
	requestTimeout   = 10 * time.Second // per request to the API server
	cacheSyncTimeout = 2 * time.Second  // for the watch to deliver a write; see pendingWrites

	clientQPS, clientBurst = 200, 400 // REST and admission limit the requests in flight
)

// Open opens the registry in a cluster and fills the cache. The cluster must serve drey's
// custom resources. ctx bounds the opening; the store is open until Close.
//
// It needs the right to list and watch namespaces, and deploymenttargets, deployments and
// sessionclusters of drey.dev; and of those, to create, update and delete what is written.
// With [Options.PlatformNamespace] it needs these in one namespace, and none on namespaces.
func Open(ctx context.Context, config *rest.Config, o Options) (*Store, error) {
	s := &Store{objectCache: newObjectCache(), options: o, log: o.Log, refreshes: newRefreshes()}
	s.ownNamespace, s.checkNamespace = o.OwnNamespace, o.CheckNamespace
	if s.log == nil {
		s.log = slog.Default()
	}
	config = rest.CopyConfig(config)
	if config.QPS == 0 {
		config.QPS, config.Burst = clientQPS, clientBurst
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
	if err := s.checkPermissions(ctx); err != nil {
		return nil, err
	}
	var life context.Context
	life, s.stop = context.WithCancel(context.Background())
	if err := s.startReflectors(ctx, life); err != nil {
		s.stop()
		return nil, fmt.Errorf("read the registry in the cluster: %w", err)
	}
	return s, nil
}

// checkPermissions lists one object of each kind. A reflector would retry without an error.
func (s *Store) checkPermissions(ctx context.Context) error {
	namespace := s.options.PlatformNamespace
	for _, r := range codec.Resources {
		if err := s.call(ctx, "list "+r.Plural, func(ctx context.Context) error {
			return s.request("GET").NamespaceIfScoped(namespace, namespace != "").Resource(r.Plural).VersionedParams(&metav1.ListOptions{Limit: 1}, metav1.ParameterCodec).Do(ctx).Error()
		}); err != nil {
			return err
		}
	}
	if namespace != "" {
		return nil
	}
	return s.call(ctx, "list namespaces", func(ctx context.Context) error {
		_, err := s.metadata.Resource(namespaceResource).List(ctx, metav1.ListOptions{Limit: 1})
		return err
	})
}

func newClient(config *rest.Config) (*rest.RESTClient, error) {
	scheme := runtime.NewScheme()
	if err := v1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	config = rest.CopyConfig(config)
	config.UserAgent = cmp.Or(config.UserAgent, rest.DefaultKubernetesUserAgent()) // the field manager of writes
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

func (s *Store) checkOpen(ctx context.Context) error {
	if s.closed.Load() {
		return registry.ErrClosed
	}
	return ctx.Err()
}

// call makes a request within requestTimeout, and maps its error. operation completes
// "cannot ...".
func (s *Store) call(ctx context.Context, operation string, request func(context.Context) error) error {
	bounded, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return s.options.toRegistryError(ctx, operation, request(bounded))
}

// request returns a request with 2 retries after broken connections and Retry-After answers,
// instead of client-go's 10.
func (s *Store) request(verb string) *rest.Request { return s.objects.Verb(verb).MaxRetries(2) }
