// Package certs keeps the certificate that the webhooks are served with, and
// that the API server trusts: in the memory of one process ([Memory]), in a
// Secret that drey writes ([SelfSigned]), or in one that cert-manager writes
// ([CertManager]).
//
// The last two have the same two halves. Run is for every replica: it follows
// the Secret and the webhook configurations, and serves. Lead is for the leader:
// it sees to it that there is something to follow. Several leaders at once do no
// harm.
//
// What they need of the API server, and nothing else; NAMESPACE is drey's own:
//
//	Run      secrets                            get, list, watch  NAMESPACE, resourceNames: [drey-certs] or [drey-serving]
//	         mutatingwebhookconfigurations,
//	         validatingwebhookconfigurations    get, list, watch  resourceNames: [drey]
//	Lead     mutatingwebhookconfigurations,
//	         validatingwebhookconfigurations    patch             resourceNames: [drey]
//	         secrets, self-signed               create            NAMESPACE; RBAC cannot name what is not there yet
//	                                            update            NAMESPACE, resourceNames: [drey-certs]
//	         issuers.cert-manager.io            get, create, patch  NAMESPACE; patch creates, so that
//	         certificates.cert-manager.io                           create cannot name it, and get, patch can:
//	                                                                resourceNames: [drey-bootstrap, drey-ca, drey-serving]
//	         secrets, cert-manager              get               NAMESPACE, resourceNames: [drey-ca, drey-serving]
package certs

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/rest"

	"drey.dev/drey/certs/rotation"
)

// What is drey's, and by which mark: all else is left alone, whatever its name.
const (
	// SecretName is the Secret that drey writes, in its own namespace.
	SecretName = "drey-certs"

	// ManagedByLabel, with the value Owner, is on what drey writes itself.
	ManagedByLabel = "app.kubernetes.io/managed-by"

	// NameLabel, with the value Owner, is on the webhook configurations, which
	// whoever installs drey may manage.
	NameLabel = "app.kubernetes.io/name"

	// Owner is the value of both.
	Owner = "drey"
)

// fieldManager is by whose name the API server remembers who wrote a field.
const fieldManager = "drey-certs"

// The lifetimes that are used unless others are asked for.
const (
	DefaultCALifetime = 365 * 24 * time.Hour
	DefaultLifetime   = 90 * 24 * time.Hour
	DefaultSettle     = 30 * time.Second
)

// Options say whose certificates to keep.
type Options struct {
	Cluster       *rest.Config
	Namespace     string        // drey's own
	Configuration string        // name of both webhook configurations
	Hosts         []string      // DNS names and IP addresses by which the API server calls the webhooks
	CALifetime    time.Duration // zero: DefaultCALifetime
	Lifetime      time.Duration // of the serving certificate; zero: DefaultLifetime
	Settle        time.Duration // longer than an API server takes to see a changed caBundle; zero: DefaultSettle
	Log           *slog.Logger
	Metrics       prometheus.Registerer // nil: none
}

// policy returns the options as the lifetimes that they ask for.
func (o Options) policy() (rotation.Policy, error) {
	p := rotation.Policy{CALifetime: o.CALifetime, LeafLifetime: o.Lifetime, Settle: o.Settle, Hosts: o.Hosts}
	for field, value := range map[*time.Duration]time.Duration{
		&p.CALifetime: DefaultCALifetime, &p.LeafLifetime: DefaultLifetime, &p.Settle: DefaultSettle,
	} {
		if *field == 0 {
			*field = value
		}
	}
	if err := p.Check(); err != nil {
		return p, fmt.Errorf("certificates: %w", err)
	}
	return p, nil
}
