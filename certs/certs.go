// Package certs provides the mutual trust of the API server and the webhooks: the serving
// certificate and its CA, in memory ([Memory]), in a Secret that drey writes ([SelfSigned]),
// or in a Secret that cert-manager writes ([CertManager]); and the tokens in the URL paths,
// by which drey recognizes the API server.
//
// The latter two have two loops. Run belongs to every replica: it watches the Secret and
// the webhook configurations, selects the certificate to serve and accepts the paths that
// the configurations state. Lead belongs to the leader: it writes the Secret, the caBundles
// and the paths. Several leaders at once are safe.
//
// They need these permissions; NAMESPACE is drey's:
//
//	Run      secrets                            get, list, watch  NAMESPACE, resourceNames: [drey-certs] or [drey-serving]
//	         mutatingwebhookconfigurations,
//	         validatingwebhookconfigurations    get, list, watch  resourceNames: [drey]
//	Lead     mutatingwebhookconfigurations,
//	         validatingwebhookconfigurations    patch             resourceNames: [drey]
//	         secrets, self-signed               create            NAMESPACE; RBAC cannot restrict create by name
//	                                            update            NAMESPACE, resourceNames: [drey-certs]
//	         issuers.cert-manager.io            get, create, patch  NAMESPACE; create cannot be restricted
//	         certificates.cert-manager.io                           by name; get and patch can:
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

// Names and labels of the objects that drey manages. Objects without the label are not
// touched, whatever their name.
const (
	// SecretName is the name of the Secret that drey writes, in its namespace.
	SecretName = "drey-certs"

	// ManagedByLabel, with the value Owner, marks objects that drey creates.
	ManagedByLabel = "app.kubernetes.io/managed-by"

	// NameLabel, with the value Owner, marks drey's webhook configurations, which Helm or
	// kustomize may manage.
	NameLabel = "app.kubernetes.io/name"

	// Owner is the value of both labels.
	Owner = "drey"
)

// fieldManager is the field manager of all writes.
const fieldManager = "drey-certs"

// Defaults of [Options].
const (
	DefaultCALifetime         = 365 * 24 * time.Hour
	DefaultLifetime           = 90 * 24 * time.Hour
	DefaultCAPropagationDelay = 30 * time.Second
)

// Options configure [SelfSigned] and [CertManager].
type Options struct {
	Cluster            *rest.Config
	Namespace          string            // drey's
	Configuration      string            // name of both webhook configurations
	Hosts              []string          // DNS names and IP addresses of the serving certificate
	Paths              map[string]string // base path of each webhook, by name; others keep their path
	CALifetime         time.Duration     // default: DefaultCALifetime
	Lifetime           time.Duration     // of the serving certificate; default: DefaultLifetime
	CAPropagationDelay time.Duration     // upper bound on the time until API servers use a changed caBundle or path; default: DefaultCAPropagationDelay
	Log                *slog.Logger
	Metrics            prometheus.Registerer // nil: not registered
}

// policy returns the rotation policy, with defaults applied.
func (o Options) policy() (rotation.Policy, error) {
	p := rotation.Policy{CALifetime: o.CALifetime, LeafLifetime: o.Lifetime, PropagationDelay: o.CAPropagationDelay, Hosts: o.Hosts}
	for field, value := range map[*time.Duration]time.Duration{
		&p.CALifetime: DefaultCALifetime, &p.LeafLifetime: DefaultLifetime, &p.PropagationDelay: DefaultCAPropagationDelay,
	} {
		if *field == 0 {
			*field = value
		}
	}
	if err := p.Validate(); err != nil {
		return p, fmt.Errorf("certificates: %w", err)
	}
	return p, nil
}
