package certs

import (
	"context"
	"crypto/tls"
	"time"

	"drey.dev/drey/certs/rotation"
)

// memoryLifetime exceeds the uptime of a process.
const memoryLifetime = 365 * 24 * time.Hour

// Memory is a serving certificate, its CA and a token in the memory of this process, for
// drey outside a cluster, which installs its webhook configurations when it starts.
type Memory struct {
	serving   *tls.Certificate
	caBundle  []byte
	pathToken string
}

// NewMemory issues a serving certificate for DNS names or IP addresses. It does not keep
// the key of the CA.
func NewMemory(hosts ...string) (*Memory, error) {
	policy := rotation.Policy{CALifetime: memoryLifetime, LeafLifetime: memoryLifetime, Hosts: hosts}
	if err := policy.Validate(); err != nil {
		return nil, err
	}
	m, err := policy.Apply(rotation.Material{}, rotation.Observed{}, rotation.Bootstrap, time.Now())
	if err != nil {
		return nil, err
	}
	return &Memory{serving: m.Leaf, caBundle: encodeCerts(m.Bundle), pathToken: newPathToken()}, nil
}

// GetCertificate implements [tls.Config.GetCertificate].
func (m *Memory) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return m.serving, nil
}

// CABundle returns the caBundle of the webhook configurations, in PEM.
func (m *Memory) CABundle() []byte { return m.caBundle }

// Ready returns nil.
func (m *Memory) Ready() error { return nil }

// Run waits until ctx ends: the certificate does not change.
func (m *Memory) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Lead waits until ctx ends: the certificate is not shared.
func (m *Memory) Lead(ctx context.Context) error { return m.Run(ctx) }
