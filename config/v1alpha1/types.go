// Package v1alpha1 is version v1alpha1 of the configuration file of drey serve: its type,
// defaults, strict decoding and validation.
package v1alpha1

import (
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"drey.dev/drey/certs"
	"drey.dev/drey/registry"
	"drey.dev/drey/webhook/config"
)

// The type of the file.
const (
	APIVersion = "config.drey.dev/v1alpha1"
	Kind       = "DreyConfiguration"
)

// DreyConfiguration configures drey serve. Absent fields have the values of [Default], and a
// flag that is given overrides its field. docs/reference/configuration.md describes the fields.
type DreyConfiguration struct {
	metav1.TypeMeta `json:",inline"`

	Namespace    string                    `json:"namespace,omitempty"` // drey's own
	EnableHTTP2  bool                      `json:"enableHTTP2,omitempty"`
	Registry     RegistryConfiguration     `json:"registry,omitzero"`
	REST         RESTConfiguration         `json:"rest,omitzero"`
	Webhooks     WebhooksConfiguration     `json:"webhooks,omitzero"`
	Certificates CertificatesConfiguration `json:"certificates,omitzero"`
	Metrics      MetricsConfiguration      `json:"metrics,omitzero"`
	Health       HealthConfiguration       `json:"health,omitzero"`
	Logging      LoggingConfiguration      `json:"logging,omitzero"`
	Tracing      TracingConfiguration      `json:"tracing,omitzero"`
}

// RegistryConfiguration configures the store of the registry and the platform namespaces.
type RegistryConfiguration struct {
	Store                  string                 `json:"store,omitempty"`
	DataDir                string                 `json:"dataDir,omitempty"` // of the embedded store
	PlatformNamespaces     []string               `json:"platformNamespaces,omitempty"`
	PlatformNamespaceQuota resource.QuantityValue `json:"platformNamespaceQuota,omitzero"` // 0: unlimited
	CreateNamespaces       bool                   `json:"createNamespaces,omitempty"`
}

// The values of RegistryConfiguration.Store.
const (
	StoreEmbedded   = "embedded"   // one file, one process
	StoreKubernetes = "kubernetes" // custom resources, any number of replicas
)

// RESTConfiguration configures the REST API, its authentication and TLS.
type RESTConfiguration struct {
	BindAddress   string               `json:"bindAddress,omitempty"` // host:port
	URL           string               `json:"url,omitempty"`         // external base URL; empty: that of BindAddress
	Auth          []string             `json:"auth,omitempty"`
	AuthAudiences []string             `json:"authAudiences,omitempty"` // empty: the API server's
	TLS           RESTTLSConfiguration `json:"tls,omitzero"`
	AccessLog     bool                 `json:"accessLog,omitempty"`
	VVPVersion    string               `json:"vvpVersion,omitempty"` // of Ververica Platform, in system-info
}

// The values of RESTConfiguration.Auth.
const (
	AuthTokens  = "tokens"  // API tokens issued by drey
	AuthCluster = "cluster" // users and ServiceAccounts of the cluster, by RBAC
	AuthOff     = "off"
)

// RESTTLSConfiguration selects the certificate of the REST API: a file, that of the webhooks,
// or none.
type RESTTLSConfiguration struct {
	CertFile   string `json:"certFile,omitempty"`
	KeyFile    string `json:"keyFile,omitempty"`
	OfWebhooks bool   `json:"ofWebhooks,omitempty"`
}

// WebhooksConfiguration configures the admission server.
type WebhooksConfiguration struct {
	BindAddress string                   `json:"bindAddress,omitempty"` // host:port
	Mode        string                   `json:"mode,omitempty"`        // a [config.Mode]
	Contact     string                   `json:"contact,omitempty"`     // of the people who register targets, in denials
	Install     bool                     `json:"install,omitempty"`     // register them by URL
	TLS         WebhooksTLSConfiguration `json:"tls,omitzero"`
}

// WebhooksTLSConfiguration configures TLS of the webhooks, and the client certificates that
// they require of the API server.
type WebhooksTLSConfiguration struct {
	MinVersion   string `json:"minVersion,omitempty"` // 1.3 or 1.2
	ClientCAFile string `json:"clientCAFile,omitempty"`
	ClientName   string `json:"clientName,omitempty"`
}

// CertificatesConfiguration configures the certificate of the webhooks and its rotation.
type CertificatesConfiguration struct {
	Issuer             string          `json:"issuer,omitempty"`
	CALifetime         metav1.Duration `json:"caLifetime,omitzero"`
	Lifetime           metav1.Duration `json:"lifetime,omitzero"`
	CAPropagationDelay metav1.Duration `json:"caPropagationDelay,omitzero"`
}

// The values of CertificatesConfiguration.Issuer.
const (
	IssuerAuto        = "auto"
	IssuerSelfSigned  = "self-signed"  // drey, in a Secret shared by the replicas
	IssuerCertManager = "cert-manager" // in a Secret, too
	IssuerMemory      = "memory"       // this process, for a drey outside the cluster
)

// MetricsConfiguration configures the listener of /metrics.
type MetricsConfiguration struct {
	BindAddress string `json:"bindAddress,omitempty"` // host:port
}

// HealthConfiguration configures the listener of /livez and /readyz, and shutdown.
type HealthConfiguration struct {
	BindAddress   string          `json:"bindAddress,omitempty"` // host:port; empty: that of the metrics
	ShutdownDelay metav1.Duration `json:"shutdownDelay,omitzero"`
}

// LoggingConfiguration configures the log.
type LoggingConfiguration struct {
	Format string `json:"format,omitempty"` // text or json
	Level  string `json:"level,omitempty"`
}

// TracingConfiguration configures OpenTelemetry traces.
type TracingConfiguration struct {
	Endpoint      string  `json:"endpoint,omitempty"` // OTLP over HTTP; empty: off
	SamplingRatio float64 `json:"samplingRatio,omitempty"`
}

// Default returns the configuration of an empty file.
func Default() DreyConfiguration {
	return DreyConfiguration{
		TypeMeta: metav1.TypeMeta{APIVersion: APIVersion, Kind: Kind},
		Registry: RegistryConfiguration{
			Store: StoreEmbedded, DataDir: "drey-data",
			PlatformNamespaceQuota: resource.QuantityValue{Quantity: *resource.NewQuantity(registry.DefaultQuota, resource.BinarySI)},
		},
		REST:     RESTConfiguration{BindAddress: "127.0.0.1:8080", Auth: []string{AuthOff}},
		Webhooks: WebhooksConfiguration{BindAddress: ":9443", Mode: string(config.Enforce), TLS: WebhooksTLSConfiguration{MinVersion: "1.3"}},
		Certificates: CertificatesConfiguration{
			Issuer: IssuerAuto, CALifetime: metav1.Duration{Duration: certs.DefaultCALifetime},
			Lifetime: metav1.Duration{Duration: certs.DefaultLifetime}, CAPropagationDelay: metav1.Duration{Duration: certs.DefaultCAPropagationDelay},
		},
		Metrics: MetricsConfiguration{BindAddress: "127.0.0.1:8081"},
		Health:  HealthConfiguration{ShutdownDelay: metav1.Duration{Duration: 10 * time.Second}},
		Logging: LoggingConfiguration{Format: "text", Level: "info"},
		Tracing: TracingConfiguration{SamplingRatio: 0.01},
	}
}
