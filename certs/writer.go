package certs

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"drey.dev/drey/certs/rotation"
)

// store reads and writes the Secret and the webhook configurations; see [api].
type store interface {
	secret(ctx context.Context, name string) (*corev1.Secret, error)
	write(ctx context.Context, s *corev1.Secret) error
	configurations(ctx context.Context) ([]configuration, error)
	patch(ctx context.Context, c configuration, ops []patchOp) error
}

// writer takes the steps of a [rotation.Policy]: it writes the Secret, then the caBundles,
// together with the paths.
type writer struct {
	api       store
	namespace string
	policy    rotation.Policy
	paths     pathRenewer
	now       func() time.Time
	log       *slog.Logger

	synced      []*x509.Certificate // the last bundle that was in all caBundles
	syncedSince time.Time           // zero if the caBundles differ from it
}

// reconcile takes the step that is due and returns when to call it again.
func (w *writer) reconcile(ctx context.Context) (time.Time, error) {
	// The configurations are read before the Secret and patched with their resourceVersion
	// as a precondition: so a leader with an outdated Secret cannot overwrite a newer bundle.
	all, err := w.api.configurations(ctx)
	if err != nil {
		return time.Time{}, err
	}
	ours := slices.DeleteFunc(slices.Clone(all), func(c configuration) bool { return c.checkOwner() != nil })
	read := w.now()
	secret, err := w.api.secret(ctx, SecretName)
	if err != nil {
		return time.Time{}, err
	}
	if secret == nil {
		secret = newSecret(w.namespace)
	} else if err := checkSecretOwner(secret); err != nil {
		return time.Time{}, err
	}
	material, err := decode(secret.Data)
	if err != nil {
		w.log.Warn("part of the certificates is unreadable and will be reissued", "secret", SecretName, "error", err)
	}

	plan := w.policy.Plan(material, w.observe(ours, material.Bundle, read), read)
	if plan.Step != rotation.None {
		if material, err = w.applyStep(ctx, secret, material, ours, plan.Step); err != nil {
			return time.Time{}, err
		}
		plan.Next = w.now() // another step may be due
	}
	changed, err := w.configure(ctx, ours, material.Bundle)
	if changed {
		plan.Next = w.now() // to observe the write
	}
	return slices.MinFunc([]time.Time{plan.Next, w.paths.next()}, time.Time.Compare), err
}

// observe returns the caBundles, and records since when all of them equal the bundle.
func (w *writer) observe(ours []configuration, bundle []*x509.Certificate, now time.Time) rotation.Observed {
	var o rotation.Observed
	inSync := true
	for _, t := range webhookClients(ours) {
		o.CABundles = append(o.CABundles, t.CABundle)
		inSync = inSync && rotation.SameBundle(t.CABundle, bundle)
	}
	switch {
	case !inSync:
		w.synced, w.syncedSince = nil, time.Time{}
	case w.syncedSince.IsZero() || !rotation.SameBundle(w.synced, bundle):
		w.synced, w.syncedSince = bundle, now
	}
	o.InSyncSince = w.syncedSince
	return o
}

// applyStep takes a step and writes the new material into the Secret.
func (w *writer) applyStep(ctx context.Context, secret *corev1.Secret, m rotation.Material, ours []configuration, step rotation.Step) (rotation.Material, error) {
	var o rotation.Observed
	for _, t := range webhookClients(ours) {
		o.CABundles = append(o.CABundles, t.CABundle)
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

// configure writes the bundle and the paths into the configurations, and reports whether one
// of them had another bundle.
func (w *writer) configure(ctx context.Context, ours []configuration, bundle []*x509.Certificate) (changed bool, err error) {
	now := w.now()
	renew := w.paths.due(now)
	var errs []error
	for _, c := range ours {
		bundles, paths := c.caBundleOps(bundle), w.paths.ops(c, renew)
		changed = changed || len(bundles) > 0
		if len(bundles)+len(paths) == 0 {
			continue
		}
		err := w.api.patch(ctx, c, append(bundles, paths...))
		errs = append(errs, err)
		if err == nil {
			w.log.Info("webhook configuration written", "kind", c.kind, "name", c.meta.Name, "ca_bundles", len(bundles), "trusted", len(bundle), "paths", len(paths))
		}
	}
	if err = errors.Join(errs...); err == nil && renew {
		w.paths.renewed = now
	}
	return changed, err
}
