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

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/cache"

	"drey.dev/drey/certs/rotation"
	"drey.dev/drey/listwatch"
)

// replica serves the certificate in a Secret, of which it sees changes; and
// those of the webhook configurations, so that it serves what they trust.
type replica struct {
	api     *api
	settle  time.Duration
	secret  string
	owned   func(*corev1.Secret) error // returns nil if the Secret is the one that is meant
	log     *slog.Logger
	metrics *metrics

	serving atomic.Pointer[tls.Certificate]
	changed chan struct{} // has an element once something has changed
	wakers  []chan struct{}

	mu       sync.Mutex // guards what follows
	choice   rotation.Choice
	cas      []*x509.Certificate // of the Secret
	webhooks []rotation.Trust
	problem  error // with what was read; what was read before still serves
	synced   bool
}

func newReplica(o Options, a *api, settle time.Duration, secret string, owned func(*corev1.Secret) error, backdated time.Duration) *replica {
	return &replica{
		api: a, settle: settle, secret: secret, owned: owned, log: o.Log, metrics: newMetrics(o.Metrics, backdated),
		changed: make(chan struct{}, 1),
	}
}

// GetCertificate is what tls.Config.GetCertificate wants. Connections that are
// open keep the certificate that they began with.
func (r *replica) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if c := r.serving.Load(); c != nil {
		return c, nil
	}
	return nil, errors.New("there is no serving certificate yet")
}

// Ready returns nil while every webhook configuration trusts the certificate
// that is served. One that does not exist does not matter: the server comes
// before the configurations.
func (r *replica) Ready() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch c := r.choice.Serving; {
	case !r.synced:
		return errors.New("the certificates have not been read from the cluster yet")
	case c == nil:
		return cmp.Or(r.problem, fmt.Errorf("there is no serving certificate in Secret %s/%s yet: the leader makes it, and its log says what keeps it from that", r.api.namespace, r.secret))
	case time.Now().After(c.Leaf.NotAfter):
		return cmp.Or(r.problem, fmt.Errorf("the serving certificate in Secret %s/%s expired at %s: the leader renews it, and its log says what keeps it from that", r.api.namespace, r.secret, c.Leaf.NotAfter.Format(time.RFC3339)))
	default:
		return cmp.Or(rotation.Verify(c, r.webhooks, time.Now()), r.problem)
	}
}

// Run follows the Secret and the configurations until ctx ends.
func (r *replica) Run(ctx context.Context) error {
	secrets, err := r.follow(ctx, r.api.core.RESTClient(), "secrets", r.api.namespace, r.secret, &corev1.Secret{})
	if err != nil {
		return err
	}
	mutatings, err := r.follow(ctx, r.api.admission.RESTClient(), "mutatingwebhookconfigurations", "", r.api.configuration, &admissionv1.MutatingWebhookConfiguration{})
	if err != nil {
		return err
	}
	validatings, err := r.follow(ctx, r.api.admission.RESTClient(), "validatingwebhookconfigurations", "", r.api.configuration, &admissionv1.ValidatingWebhookConfiguration{})
	if err != nil {
		return err
	}
	for {
		next := r.look(secrets(), mutatings(), validatings())
		var timer <-chan time.Time
		if !next.IsZero() {
			timer = time.After(min(time.Until(next), time.Minute)) // clocks are set
		}
		select {
		case <-ctx.Done():
			return nil
		case <-timer:
		case <-r.changed:
		}
	}
}

// follow keeps a copy of the one object with a name, and returns how to get it
// once it has been read for the first time: nil if there is none.
func (r *replica) follow(ctx context.Context, client cache.Getter, resource, namespace, name string, of runtime.Object) (func() any, error) {
	objects, informer := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: listwatch.Consistent(cache.NewListWatchFromClient(client, resource, namespace, fields.OneTermEqualSelector("metadata.name", name)), client),
		ObjectType:    of,
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { r.wake() },
			UpdateFunc: func(any, any) { r.wake() },
			DeleteFunc: func(any) { r.wake() },
		},
	})
	go informer.RunWithContext(ctx)
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return nil, fmt.Errorf("read %s %s: %w", resource, name, context.Cause(ctx))
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

// look takes in what there is, and serves what is best. It returns when to look
// again even though nothing changes.
func (r *replica) look(secret, mutatingOne, validatingOne any) time.Time {
	var all []configuration
	if c, ok := mutatingOne.(*admissionv1.MutatingWebhookConfiguration); ok {
		all = append(all, mutating(c))
	}
	if c, ok := validatingOne.(*admissionv1.ValidatingWebhookConfiguration); ok {
		all = append(all, validating(c))
	}
	var problems []error
	for _, c := range all {
		problems = append(problems, c.owned())
	}
	all = slices.DeleteFunc(all, func(c configuration) bool { return c.owned() != nil })

	var candidate *tls.Certificate
	var cas []*x509.Certificate
	if s, ok := secret.(*corev1.Secret); ok {
		err := r.owned(s)
		if err == nil {
			candidate, err = decodeLeaf(s.Data)
			cas, _ = decodeCerts(s.Data[caCert]) // for the metrics alone
		}
		if err != nil {
			problems = append(problems, err)
		}
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.choice.Serving
	if candidate != nil {
		r.cas = cas
	}
	r.webhooks, r.problem, r.synced = trusts(all), errors.Join(problems...), true
	var next time.Time
	r.choice, next = r.choice.Offer(candidate).Settle(r.webhooks, r.settle, time.Now())
	if now := r.choice.Serving; now != before {
		r.serving.Store(now)
		r.metrics.serve(now.Leaf, r.cas, before != nil)
		r.log.Info("serving another certificate", "secret", r.secret, "serial", now.Leaf.SerialNumber.Text(16), "until", now.Leaf.NotAfter)
	}
	return next
}

// subscribe returns a channel that has an element once something has changed.
func (r *replica) subscribe() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := make(chan struct{}, 1)
	r.wakers = append(r.wakers, c)
	return c
}

func (r *replica) wake() {
	r.mu.Lock()
	all := append([]chan struct{}{r.changed}, r.wakers...)
	r.mu.Unlock()
	for _, c := range all {
		select {
		case c <- struct{}{}:
		default: // it is awake
		}
	}
}
