package certs

import (
	"context"
	"crypto/tls"
	"time"

	"drey.dev/drey/certs/rotation"
)

// memoryLifetime is longer than a process should run.
const memoryLifetime = 365 * 24 * time.Hour

// Memory is a serving certificate and the CA that signed it, both made by this
// process and gone with it: for a drey outside of the cluster, which registers
// its webhooks itself when it starts.
type Memory struct {
	serving  *tls.Certificate
	caBundle []byte
}

// NewMemory makes a serving certificate for the hosts, which are DNS names or IP
// addresses. The CA's key is forgotten at once: it signs nothing else.
func NewMemory(hosts ...string) (*Memory, error) {
	policy := rotation.Policy{CALifetime: memoryLifetime, LeafLifetime: memoryLifetime, Hosts: hosts}
	if err := policy.Check(); err != nil {
		return nil, err
	}
	m, err := policy.Apply(rotation.Material{}, rotation.Observed{}, rotation.Bootstrap, time.Now())
	if err != nil {
		return nil, err
	}
	return &Memory{serving: m.Leaf, caBundle: encodeCerts(m.Bundle)}, nil
}

// GetCertificate is what tls.Config.GetCertificate wants.
func (m *Memory) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return m.serving, nil
}

// CABundle is what a webhook configuration needs to trust the certificate:
// PEM.
func (m *Memory) CABundle() []byte { return m.caBundle }

// Ready returns nil: there is a certificate from the start.
func (m *Memory) Ready() error { return nil }

// Run waits for ctx to end: there is nothing to follow.
func (m *Memory) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Lead waits for ctx to end: there is nothing to share.
func (m *Memory) Lead(ctx context.Context) error { return m.Run(ctx) }
