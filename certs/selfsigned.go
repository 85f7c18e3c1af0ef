package certs

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	retry "k8s.io/apimachinery/pkg/util/wait"

	"drey.dev/drey/certs/rotation"
)

// SelfSigned serves the certificate that drey makes itself and keeps in the
// Secret drey-certs, for all replicas.
type SelfSigned struct {
	*replica
	writer *writer
}

// NewSelfSigned prepares it. Nothing is read or written yet.
func NewSelfSigned(o Options) (*SelfSigned, error) {
	policy, err := o.policy()
	if err != nil {
		return nil, err
	}
	a, err := newAPI(o.Cluster, o.Namespace, o.Configuration)
	if err != nil {
		return nil, err
	}
	r := newReplica(o, a, policy.Settle, SecretName, ownedByDrey, rotation.Skew)
	return &SelfSigned{r, &writer{api: a, namespace: o.Namespace, policy: policy, now: time.Now, log: o.Log}}, nil
}

// Lead makes the certificates, renews them, and writes the CAs into the webhook
// configurations, until ctx ends.
func (s *SelfSigned) Lead(ctx context.Context) error {
	return lead(ctx, s.replica, s.writer.reconcile)
}

// ownedByDrey returns nil if drey wrote the Secret.
func ownedByDrey(s *corev1.Secret) error {
	if s.Labels[ManagedByLabel] == Owner {
		return nil
	}
	return fmt.Errorf("the Secret %s/%s is not drey's, for it lacks the label %s=%s, and is left alone. If nobody needs it: kubectl delete secret -n %s %s",
		s.Namespace, s.Name, ManagedByLabel, Owner, s.Namespace, s.Name)
}

// store is what the writer reads and writes.
type store interface {
	secret(ctx context.Context, name string) (*corev1.Secret, error)
	write(ctx context.Context, s *corev1.Secret) error
	configurations(ctx context.Context) ([]configuration, error)
	change(ctx context.Context, c configuration, changes []change) error
}

// writer brings the Secret and the webhook configurations to what the policy
// asks for, step by step.
type writer struct {
	api       store
	namespace string
	policy    rotation.Policy
	now       func() time.Time
	log       *slog.Logger

	published []*x509.Certificate // what every configuration was seen to trust,
	since     time.Time           // and since when; zero: it was not
}

// reconcile does what is due, and returns when to come again.
func (w *writer) reconcile(ctx context.Context) (time.Time, error) {
	// The configurations are read before the Secret, and changed only if they
	// still are what was read: who publishes an old Secret's bundle would have
	// read them before the newer one was published, so that fails.
	all, err := w.api.configurations(ctx)
	if err != nil {
		return time.Time{}, err
	}
	ours := slices.DeleteFunc(slices.Clone(all), func(c configuration) bool { return c.owned() != nil })
	read := w.now()
	secret, err := w.api.secret(ctx, SecretName)
	if err != nil {
		return time.Time{}, err
	}
	if secret == nil {
		secret = newSecret(w.namespace)
	} else if err := ownedByDrey(secret); err != nil {
		return time.Time{}, err
	}
	material, err := decode(secret.Data)
	if err != nil {
		w.log.Warn("a part of the certificates cannot be read, and is made anew", "secret", SecretName, "error", err)
	}

	plan := w.policy.Plan(material, w.observe(ours, material.Bundle, read), read)
	if plan.Step != rotation.Keep {
		if material, err = w.take(ctx, secret, material, ours, plan.Step); err != nil {
			return time.Time{}, err
		}
		plan.Next = w.now() // there may be more to do
	}
	changed, err := w.publish(ctx, ours, material.Bundle)
	if changed {
		plan.Next = w.now() // to see that it is so
	}
	return plan.Next, err
}

// observe returns what the configurations trust, and remembers since when that
// has been the bundle.
func (w *writer) observe(ours []configuration, bundle []*x509.Certificate, now time.Time) rotation.Observed {
	var o rotation.Observed
	everywhere := true
	for _, t := range trusts(ours) {
		o.Bundles = append(o.Bundles, t.Bundle)
		everywhere = everywhere && rotation.Same(t.Bundle, bundle)
	}
	switch {
	case !everywhere:
		w.published, w.since = nil, time.Time{}
	case w.since.IsZero() || !rotation.Same(w.published, bundle):
		w.published, w.since = bundle, now
	}
	o.Since = w.since
	return o
}

// take takes a step and writes what comes of it.
func (w *writer) take(ctx context.Context, secret *corev1.Secret, m rotation.Material, ours []configuration, step rotation.Step) (rotation.Material, error) {
	var o rotation.Observed
	for _, t := range trusts(ours) {
		o.Bundles = append(o.Bundles, t.Bundle)
	}
	m, err := w.policy.Apply(m, o, step, w.now())
	if err != nil {
		return m, err
	}
	if secret, err = encode(secret, m); err != nil {
		return m, err
	}
	if err := w.api.write(ctx, secret); err != nil {
		return m, err
	}
	attributes := []any{"step", string(step), "secret", SecretName, "trusted", len(m.Bundle)}
	if m.Leaf != nil {
		attributes = append(attributes, "serving_until", m.Leaf.Leaf.NotAfter)
	}
	if m.CA != nil {
		attributes = append(attributes, "ca_until", m.CA.Cert.NotAfter)
	}
	w.log.Info("certificates changed", attributes...)
	return m, nil
}

// publish writes the bundle into the configurations that lack it, and tells
// whether there was one.
func (w *writer) publish(ctx context.Context, ours []configuration, bundle []*x509.Certificate) (changed bool, err error) {
	var errs []error
	for _, c := range ours {
		changes := c.trust(bundle)
		if len(changes) == 0 {
			continue
		}
		changed = true
		err := w.api.change(ctx, c, changes)
		errs = append(errs, err)
		if err == nil {
			w.log.Info("caBundle written", "kind", c.kind, "name", c.meta.Name, "trusted", len(bundle))
		}
	}
	return changed, errors.Join(errs...)
}

// lead calls reconcile when it asks for it, when something changes, and again
// after an error, until ctx ends.
func lead(ctx context.Context, r *replica, reconcile func(context.Context) (time.Time, error)) error {
	changed := r.subscribe()
	delay := retryFirst
	for {
		next, err := reconcile(ctx)
		wait := min(time.Until(next), time.Minute) // clocks are set
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, errChanged):
			wait, delay = retryFirst, retryFirst
		case err != nil:
			wait, delay = retry.Jitter(delay, 0.5), min(2*delay, retryLast)
			r.log.Error("certificates: trying again", "error", err, "in", wait)
		default:
			delay = retryFirst
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		case <-changed:
			// What changes often is one write after the other, by others or by us.
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(retryFirst):
			}
		}
	}
}

// The delays after an error.
const (
	retryFirst = 100 * time.Millisecond
	retryLast  = 10 * time.Second
)
