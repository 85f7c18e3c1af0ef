package v1alpha1

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"drey.dev/drey/webhook/config"
)

// Validate returns the first fault, with the fix, in terms of flags: see [FieldNames].
func (c *DreyConfiguration) Validate() error {
	for _, validate := range []func() error{
		c.REST.validate, c.validateAddresses, c.validateRegistry, c.validateMode, c.validateContact, c.Certificates.validate, c.Webhooks.TLS.validate,
		c.Tracing.validate, c.validateInstall, c.Logging.validate,
	} {
		if err := validate(); err != nil {
			return err
		}
	}
	return nil
}

func (c *DreyConfiguration) validateContact() error {
	if contact := c.Webhooks.Contact; len(contact) > config.MaxContact || strings.ContainsFunc(contact, unicode.IsControl) {
		return fmt.Errorf("--contact is %q: use one line of at most %d bytes, such as a URL or #data-platform", contact, config.MaxContact)
	}
	return nil
}

// IsLoopback reports whether only this machine reaches an address. Errors name the flag.
func IsLoopback(flag, address string) (bool, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false, fmt.Errorf("%s: %w", flag, err)
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback(), nil
}

// AuthIsOff reports whether callers are not authenticated.
func (r *RESTConfiguration) AuthIsOff() bool { return slices.Equal(r.Auth, []string{AuthOff}) }

// Scheme returns the scheme of the URL.
func (r *RESTConfiguration) Scheme() string {
	if r.TLS.Enabled() {
		return "https://"
	}
	return "http://"
}

// Enabled reports whether the REST API is served over TLS.
func (t *RESTTLSConfiguration) Enabled() bool { return t.CertFile != "" || t.OfWebhooks }

var vvpVersions = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$`)

// validate requires TLS and authentication off loopback.
func (r *RESTConfiguration) validate() error {
	for _, way := range r.Auth {
		switch {
		case way == AuthOff && len(r.Auth) > 1:
			return fmt.Errorf("--rest-auth is %q: off cannot be combined", strings.Join(r.Auth, ","))
		case way != AuthOff && way != AuthTokens && way != AuthCluster:
			return fmt.Errorf("--rest-auth is %q: use tokens, cluster, tokens,cluster or off", way)
		}
	}
	if len(r.Auth) == 0 {
		return errors.New("--rest-auth is empty: use tokens, cluster, tokens,cluster or off")
	}
	if (r.TLS.CertFile == "") != (r.TLS.KeyFile == "") {
		return errors.New("--rest-tls-cert and --rest-tls-key go together: give both")
	}
	if r.TLS.CertFile != "" && r.TLS.OfWebhooks {
		return errors.New("--rest-tls and --rest-tls-cert exclude each other: give one of them")
	}
	if r.VVPVersion != "" && !vvpVersions.MatchString(r.VVPVersion) {
		return fmt.Errorf("--vvp-version is %q: use a version such as 2.6.1", r.VVPVersion)
	}
	local, err := IsLoopback("--rest-bind-address", r.BindAddress)
	if err != nil || local {
		return err
	}
	var missing []string
	if !r.TLS.Enabled() {
		missing = append(missing, "--rest-tls-cert FILE --rest-tls-key FILE (with a cluster, --rest-tls), to encrypt it")
	}
	if r.AuthIsOff() {
		missing = append(missing, "--rest-auth tokens (API tokens issued by drey) or --rest-auth cluster (users and ServiceAccounts of the cluster), to authenticate callers")
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("--rest-bind-address %s is not a loopback address: add %s; or serve this machine alone: --rest-bind-address 127.0.0.1:8080",
		r.BindAddress, strings.Join(missing, "; and "))
}

func (c *DreyConfiguration) validateAddresses() error {
	if _, err := IsLoopback("--metrics-bind-address", c.Metrics.BindAddress); err != nil {
		return err
	}
	if c.Health.BindAddress != "" {
		if _, err := IsLoopback("--health-probe-bind-address", c.Health.BindAddress); err != nil {
			return err
		}
	}
	if c.Health.ShutdownDelay.Duration < 0 {
		return fmt.Errorf("--shutdown-delay is %s: want 0s or more", c.Health.ShutdownDelay.Duration)
	}
	return nil
}

func (c *DreyConfiguration) validateRegistry() error {
	r := &c.Registry
	switch {
	case r.PlatformNamespaceQuota.Sign() < 0:
		return fmt.Errorf("--platform-namespace-quota is %s: use a size such as 32Mi, or 0 for unlimited", r.PlatformNamespaceQuota.String())
	case r.Store != StoreEmbedded && r.Store != StoreKubernetes:
		return fmt.Errorf("--store is %q: use %s or %s", r.Store, StoreEmbedded, StoreKubernetes)
	case r.Store == StoreKubernetes && slices.Contains(c.REST.Auth, AuthTokens):
		return fmt.Errorf("--rest-auth %s requires --store %s; with --store %s use the cluster's users and RBAC: --rest-auth %s",
			AuthTokens, StoreEmbedded, StoreKubernetes, AuthCluster)
	}
	return nil
}

func (c *DreyConfiguration) validateMode() error {
	if _, err := config.ParseMode(c.Webhooks.Mode); err != nil {
		return fmt.Errorf("--mode: %w", err)
	}
	return nil
}

func (c *CertificatesConfiguration) validate() error {
	switch c.Issuer {
	case IssuerAuto, IssuerSelfSigned, IssuerCertManager, IssuerMemory:
		return nil
	}
	return fmt.Errorf("--certs is %q: use auto, cert-manager, self-signed or memory", c.Issuer)
}

func (t *WebhooksTLSConfiguration) validate() error {
	if t.MinVersion != "1.3" && t.MinVersion != "1.2" {
		return fmt.Errorf("--webhook-tls-min-version is %q: use 1.3 or 1.2", t.MinVersion)
	}
	if t.ClientName != "" && t.ClientCAFile == "" {
		return errors.New("--webhook-client-name requires --webhook-client-ca")
	}
	return nil
}

func (t *TracingConfiguration) validate() error {
	if t.Endpoint == "" {
		return nil
	}
	if u, err := url.Parse(t.Endpoint); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("--traces-endpoint is %q: give a URL, such as http://otel-collector:4318/v1/traces", t.Endpoint)
	}
	if t.SamplingRatio < 0 || t.SamplingRatio > 1 {
		return fmt.Errorf("--traces-ratio is %g: want 0 to 1", t.SamplingRatio)
	}
	return nil
}

func (c *DreyConfiguration) validateInstall() error {
	host, _, err := net.SplitHostPort(c.Webhooks.BindAddress)
	if err != nil {
		return fmt.Errorf("--webhook-bind-address: %w", err)
	}
	if ip := net.ParseIP(host); c.Webhooks.Install && (host == "" || ip != nil && ip.IsUnspecified()) {
		return fmt.Errorf("--install-webhooks registers the webhooks by the URL of --webhook-bind-address, and %q has no host: "+
			"use an address at which the API server reaches this machine, such as 127.0.0.1:9443", c.Webhooks.BindAddress)
	}
	return nil
}

func (l *LoggingConfiguration) validate() error {
	if l.Format != "text" && l.Format != "json" {
		return fmt.Errorf("--log-format is %q: use text or json", l.Format)
	}
	if _, err := l.SlogLevel(); err != nil {
		return fmt.Errorf("--log-level is %q: use debug, info, warn or error", l.Level)
	}
	return nil
}

// SlogLevel returns the level for package slog.
func (l *LoggingConfiguration) SlogLevel() (level slog.Level, err error) {
	return level, level.UnmarshalText([]byte(l.Level))
}
