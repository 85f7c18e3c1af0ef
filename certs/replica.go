package certs

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/cache"

	"drey.dev/drey/certs/rotation"
	"drey.dev/drey/listwatch"
)

// replica watches a Secret and the webhook configurations, and serves the certificate in
// the Secret once the webhook configurations trust it.
type replica struct {
	api              *api
	propagationDelay time.Duration
	secret           string
	checkSecret      func(*corev1.Secret) error // returns an error for a foreign Secret
	log              *slog.Logger
	metrics          *metrics

	serving     atomic.Pointer[tls.Certificate]
	changed     chan struct{} // receives after every event
	subscribers []chan struct{}

	paths       statedPaths
	pathWaiters chan struct{} // semaphore of requests with an unknown path
	pathReader  chan struct{} // held for a read of paths; guards pathsRead
	pathsRead   time.Time     // when the last read began

	mu        sync.Mutex // guards what follows
	selection rotation.Selection
	cas       []*x509.Certificate // in the Secret
	clients   []rotation.WebhookClient
	inputErr  error // of the last sync; the selection before it is still served
	synced    bool
}

func newReplica(o Options, a *api, propagationDelay time.Duration, secret string, checkSecret func(*corev1.Secret) error, backdated time.Duration) *replica {
	return &replica{
		api: a, propagationDelay: propagationDelay, secret: secret, checkSecret: checkSecret, log: o.Log, metrics: newMetrics(o.Metrics, backdated),
		changed: make(chan struct{}, 1), pathWaiters: make(chan struct{}, pathReadWaiters), pathReader: make(chan struct{}, 1),
	}
}

// GetCertificate implements [tls.Config.GetCertificate].
func (r *replica) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if c := r.serving.Load(); c != nil {
		return c, nil
	}
	return nil, errors.New("no serving certificate yet")
}

// Ready returns nil while every existing webhook configuration trusts the serving
// certificate. Missing configurations are no error, because an installation starts drey
// first.
func (r *replica) Ready() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch c := r.selection.Serving; {
	case !r.synced:
		return errors.New("certificate caches are not synced yet")
	case c == nil:
		return cmp.Or(r.inputErr, fmt.Errorf("no serving certificate in secret %s/%s yet: see the log of the leader, which issues it", r.api.namespace, r.secret))
	case time.Now().After(c.Leaf.NotAfter):
		return cmp.Or(r.inputErr, fmt.Errorf("serving certificate in secret %s/%s expired at %s: see the log of the leader, which renews it", r.api.namespace, r.secret, c.Leaf.NotAfter.Format(time.RFC3339)))
	default:
		return cmp.Or(rotation.VerifyAll(c, r.clients, time.Now()), r.inputErr)
	}
}

// Run watches the Secret and the configurations, and selects the certificate to serve,
// until ctx ends.
func (r *replica) Run(ctx context.Context) error {
	secrets, err := r.watch(ctx, r.api.core.RESTClient(), "secrets", r.api.namespace, r.secret, &corev1.Secret{})
	if err != nil {
		return err
	}
	mutatings, err := r.watch(ctx, r.api.admission.RESTClient(), "mutatingwebhookconfigurations", "", r.api.configuration, &admissionregistrationv1.MutatingWebhookConfiguration{})
	if err != nil {
		return err
	}
	validatings, err := r.watch(ctx, r.api.admission.RESTClient(), "validatingwebhookconfigurations", "", r.api.configuration, &admissionregistrationv1.ValidatingWebhookConfiguration{})
	if err != nil {
		return err
	}
	for {
		next := r.sync(secrets(), mutatings(), validatings())
		var timer <-chan time.Time
		if !next.IsZero() {
			timer = time.After(min(time.Until(next), time.Minute)) // the clock may be set back
		}
		select {
		case <-ctx.Done():
			return nil
		case <-timer:
		case <-r.changed:
		}
	}
}

// watch starts an informer for one object and waits for its first list. It returns a
// getter, which returns nil if the object does not exist.
func (r *replica) watch(ctx context.Context, client cache.Getter, resource, namespace, name string, objectType runtime.Object) (func() any, error) {
	objects, informer := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: listwatch.Consistent(cache.NewListWatchFromClient(client, resource, namespace, fields.OneTermEqualSelector("metadata.name", name)), client),
		ObjectType:    objectType,
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { r.notify() },
			UpdateFunc: func(any, any) { r.notify() },
			DeleteFunc: func(any) { r.notify() },
		},
	})
	go informer.RunWithContext(ctx)
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return nil, fmt.Errorf("list %s %s: %w", resource, name, context.Cause(ctx))
	}
	key := name
	if namespace != "" {
		key = namespace + "/" + name
	}
	return func() any {
		object, found, err := objects.GetByKey(key)
		if err != nil || !found {
			return nil
		}
		return object
	}, nil
}

// sync selects the certificate to serve from the cached objects. It returns when to call it
// again without an event; zero means not at all.
func (r *replica) sync(secret, mutatingConfig, validatingConfig any) time.Time {
	var all []configuration
	if c, ok := mutatingConfig.(*admissionregistrationv1.MutatingWebhookConfiguration); ok {
		all = append(all, mutating(c))
	}
	if c, ok := validatingConfig.(*admissionregistrationv1.ValidatingWebhookConfiguration); ok {
		all = append(all, validating(c))
	}
	r.paths.observe(all, r.propagationDelay, time.Now())
	var problems []error
	for _, c := range all {
		problems = append(problems, c.checkOwner())
	}
	all = slices.DeleteFunc(all, func(c configuration) bool { return c.checkOwner() != nil })

	var candidate *tls.Certificate
	var cas []*x509.Certificate
	if s, ok := secret.(*corev1.Secret); ok {
		err := r.checkSecret(s)
		if err == nil {
			candidate, err = decodeLeaf(s.Data)
			cas, _ = decodeCerts(s.Data[caCert]) // only for metrics
		}
		if err != nil {
			problems = append(problems, err)
		}
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.selection.Serving
	if candidate != nil {
		r.cas = cas
	}
	r.clients, r.inputErr, r.synced = webhookClients(all), errors.Join(problems...), true
	var next time.Time
	r.selection, next = r.selection.WithCandidate(candidate).Promote(r.clients, r.propagationDelay, time.Now())
	if now := r.selection.Serving; now != before {
		r.serving.Store(now)
		r.metrics.observe(now.Leaf, r.cas, before != nil)
		r.log.Info("serving certificate changed", "secret", r.secret, "serial", now.Leaf.SerialNumber.Text(16), "until", now.Leaf.NotAfter)
	}
	return next
}

// subscribe returns a channel that receives after every event.
func (r *replica) subscribe() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := make(chan struct{}, 1)
	r.subscribers = append(r.subscribers, c)
	return c
}

// notify wakes Run and the subscribers.
func (r *replica) notify() {
	r.mu.Lock()
	all := append([]chan struct{}{r.changed}, r.subscribers...)
	r.mu.Unlock()
	for _, c := range all {
		select {
		case c <- struct{}{}:
		default: // already notified
		}
	}
}
