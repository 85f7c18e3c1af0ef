package certs

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"drey.dev/drey/certs/rotation"
)

// SelfSigned serves a certificate of drey's own CA, which all replicas share in the Secret
// drey-certs.
type SelfSigned struct {
	*replica
	writer *writer
}

// NewSelfSigned validates the options and makes the clients. It sends no request.
func NewSelfSigned(o Options) (*SelfSigned, error) {
	policy, err := o.policy()
	if err != nil {
		return nil, err
	}
	a, err := newAPI(o.Cluster, o.Namespace, o.Configuration)
	if err != nil {
		return nil, err
	}
	r := newReplica(o, a, policy.PropagationDelay, SecretName, checkSecretOwner, rotation.ClockSkew)
	return &SelfSigned{r, &writer{api: a, namespace: o.Namespace, policy: policy, paths: pathRenewer{base: o.Paths}, now: time.Now, log: o.Log}}, nil
}

// Lead issues and renews the certificates, and writes the caBundles and the paths, until ctx
// ends.
func (s *SelfSigned) Lead(ctx context.Context) error {
	return lead(ctx, s.replica, s.writer.reconcile)
}

// checkSecretOwner returns nil if drey manages the Secret.
func checkSecretOwner(s *corev1.Secret) error {
	if s.Labels[ManagedByLabel] == Owner {
		return nil
	}
	return fmt.Errorf("secret %s/%s is not managed by drey: label %s=%s is missing; if it is unused, run: kubectl delete secret -n %s %s",
		s.Namespace, s.Name, ManagedByLabel, Owner, s.Namespace, s.Name)
}
