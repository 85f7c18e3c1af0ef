package server

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	configv1alpha1 "drey.dev/drey/config/v1alpha1"
	"drey.dev/drey/registry/rest"
	webhookconfig "drey.dev/drey/webhook/config"
)

// OptionsError means that the flags are invalid.
type OptionsError struct{ err error }

func (e *OptionsError) Error() string { return e.err.Error() }
func (e *OptionsError) Unwrap() error { return e.err }

// Options configure drey serve. [Options.Flags] sets the defaults.
type Options struct {
	Build     rest.Build
	Out       io.Writer // gets the owner's token, which is never logged
	LogOutput io.Writer

	config        configv1alpha1.DreyConfiguration // the fields of file, and flags over them
	file          string
	kubeconfig    string
	newOwnerToken bool
	sections      []Section
}

// Section is a group of flags with a title.
type Section struct {
	Title string
	*pflag.FlagSet
}

// Flags returns the flags of drey serve. Those with a field in the configuration file are
// bound to it.
func (o *Options) Flags() []Section {
	o.config = configv1alpha1.Default()
	c := &o.config
	section := func(title string) *pflag.FlagSet {
		f := pflag.NewFlagSet(title, pflag.ContinueOnError)
		o.sections = append(o.sections, Section{title, f})
		return f
	}

	f := section("General")
	f.StringVar(&o.file, "config", "", "configuration `file`, of kind DreyConfiguration; flags that are given override its fields")
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig of the cluster; empty: the cluster that drey runs in, if any")
	f.StringVar(&c.Namespace, "namespace", c.Namespace, "drey's own Kubernetes namespace: the default of targets without a namespace, excluded from admission (default: the pod's namespace, else drey-system)")
	f.BoolVar(&c.EnableHTTP2, "enable-http2", c.EnableHTTP2, "offer HTTP/2 on the webhooks, /metrics and the REST API; the default, HTTP/1.1, is not exposed to HTTP/2 Rapid Reset (CVE-2023-44487)")

	f = section("Registry")
	f.StringVar(&c.Registry.Store, "store", c.Registry.Store, "store of the registry: embedded (a file in --data-dir, one process) or kubernetes (custom resources, any number of replicas)")
	f.StringVar(&c.Registry.DataDir, "data-dir", c.Registry.DataDir, "directory of the registry's file; created if it does not exist")
	f.StringArrayVar(&c.Registry.PlatformNamespaces, "platform-namespace", c.Registry.PlatformNamespaces, "platform namespace to create at startup, beside default; repeatable")
	f.Var(&c.Registry.PlatformNamespaceQuota, "platform-namespace-quota", "total size of the objects of a platform namespace, such as 32Mi; 0: unlimited")
	f.BoolVar(&c.Registry.CreateNamespaces, "create-namespaces", c.Registry.CreateNamespaces, "with --store kubernetes: create the Kubernetes namespace of a new platform namespace if it does not exist")

	f = section("REST API")
	f.StringVar(&c.REST.BindAddress, "rest-bind-address", c.REST.BindAddress, "host:port of the REST API; off loopback it requires --rest-tls-cert, --rest-tls-key and --rest-auth")
	f.StringVar(&c.REST.URL, "rest-url", c.REST.URL, "external base URL of the REST API, for the commands in denials (default: that of --rest-bind-address)")
	f.StringSliceVar(&c.REST.Auth, "rest-auth", c.REST.Auth, "authentication of the REST API: tokens (API tokens issued by drey), cluster (users and ServiceAccounts of the cluster, by RBAC), both, separated by a comma, or off (loopback only)")
	f.StringSliceVar(&c.REST.AuthAudiences, "rest-auth-audience", c.REST.AuthAudiences, "with --rest-auth cluster: accept only tokens for this audience (default: the API server's)")
	f.BoolVar(&o.newOwnerToken, "new-owner-token", false, "with --rest-auth tokens: issue and print a new owner's token, and revoke the previous one")
	f.StringVar(&c.REST.TLS.CertFile, "rest-tls-cert", c.REST.TLS.CertFile, "certificate file of the REST API, in PEM; reloaded when it changes")
	f.StringVar(&c.REST.TLS.KeyFile, "rest-tls-key", c.REST.TLS.KeyFile, "key file of --rest-tls-cert")
	f.BoolVar(&c.REST.TLS.OfWebhooks, "rest-tls", c.REST.TLS.OfWebhooks, "serve the REST API with the certificate of the webhooks; used with a cluster only")
	f.StringVar(&c.REST.VVPVersion, "vvp-version", c.REST.VVPVersion, "version of Ververica Platform that clients of the REST API see in system-info, and compare (default: "+rest.DefaultVVPVersion+")")
	f.BoolVar(&c.REST.AccessLog, "access-log", c.REST.AccessLog, "log every REST request at level info, instead of debug")

	f = section("Webhooks")
	f.StringVar(&c.Webhooks.BindAddress, "webhook-bind-address", c.Webhooks.BindAddress, "host:port of the webhooks, over TLS; used with a cluster only")
	f.StringVar(&c.Webhooks.Mode, "mode", c.Webhooks.Mode, "enforce denies a violation, warn admits it with a warning, audit admits it and emits an event; the namespace label "+webhookconfig.LabelMode+" overrides it")
	f.StringVar(&c.Webhooks.Contact, "contact", c.Webhooks.Contact, "contact for users without the permission to register a target, printed in denials, such as a URL or #data-platform; the namespace annotation "+webhookconfig.AnnotationContact+" overrides it")
	f.BoolVar(&c.Webhooks.Install, "install-webhooks", c.Webhooks.Install, "register the webhooks by the URL of --webhook-bind-address, for a drey outside the cluster")
	f.StringVar(&c.Webhooks.TLS.MinVersion, "webhook-tls-min-version", c.Webhooks.TLS.MinVersion, "minimum TLS version of the webhooks: 1.3 or 1.2")
	f.StringVar(&c.Webhooks.TLS.ClientCAFile, "webhook-client-ca", c.Webhooks.TLS.ClientCAFile, "CA file, in PEM, of the API server's client certificate; empty: no client certificate is required")
	f.StringVar(&c.Webhooks.TLS.ClientName, "webhook-client-name", c.Webhooks.TLS.ClientName, "with --webhook-client-ca: required common name of the client certificate; empty: any")

	f = section("Certificates")
	f.StringVar(&c.Certificates.Issuer, "certs", c.Certificates.Issuer, "issuer of the webhooks' certificate: cert-manager, self-signed (by drey, in a Secret shared by the replicas), memory (by this process, for a drey outside the cluster), or auto (memory with --install-webhooks; else cert-manager if the cluster serves it, else self-signed)")
	f.DurationVar(&c.Certificates.CALifetime.Duration, "certs-ca-lifetime", c.Certificates.CALifetime.Duration, "lifetime of the CA of the webhooks' certificate; rotated at two thirds")
	f.DurationVar(&c.Certificates.Lifetime.Duration, "certs-lifetime", c.Certificates.Lifetime.Duration, "lifetime of the webhooks' certificate; rotated at two thirds")
	f.DurationVar(&c.Certificates.CAPropagationDelay.Duration, "ca-propagation-delay", c.Certificates.CAPropagationDelay.Duration, "how long a new CA is in the caBundles before its certificates are served; more than the propagation delay of the API servers")

	f = section("Metrics and health")
	f.StringVar(&c.Metrics.BindAddress, "metrics-bind-address", c.Metrics.BindAddress, "host:port of /metrics, /livez and /readyz; off loopback it serves /metrics alone, over TLS, to users whom RBAC allows get on it")
	f.StringVar(&c.Health.BindAddress, "health-probe-bind-address", c.Health.BindAddress, "host:port of /livez and /readyz for a kubelet or load balancer, without TLS; empty: that of --metrics-bind-address")
	f.DurationVar(&c.Health.ShutdownDelay.Duration, "shutdown-delay", c.Health.ShutdownDelay.Duration, "with --health-probe-bind-address: keep serving this long after SIGTERM, with /readyz at 503, until endpoints have propagated")

	f = section("Logging and tracing")
	f.StringVar(&c.Logging.Format, "log-format", c.Logging.Format, "text or json")
	f.StringVar(&c.Logging.Level, "log-level", c.Logging.Level, "debug, info, warn or error")
	f.StringVar(&c.Tracing.Endpoint, "traces-endpoint", c.Tracing.Endpoint, "URL of an OpenTelemetry collector, OTLP over HTTP, such as http://otel-collector:4318/v1/traces; empty: tracing is off")
	f.Float64Var(&c.Tracing.SamplingRatio, "traces-ratio", c.Tracing.SamplingRatio, "with --traces-endpoint: fraction of requests to sample, 0 to 1; requests with a sampled parent are always traced")
	return o.sections
}

// given reports whether the command line has a flag.
func (o *Options) given(flag string) bool {
	return slices.ContainsFunc(o.sections, func(s Section) bool { return s.Changed(flag) })
}

// load reads the configuration file, if there is one. Flags that are given override it.
func (o *Options) load() error {
	if o.file == "" {
		return nil
	}
	text, err := os.ReadFile(o.file)
	if err != nil {
		return fmt.Errorf("--config: %w", err)
	}
	c, err := configv1alpha1.Decode(text)
	if err != nil {
		return fmt.Errorf("--config %s: %w", o.file, err)
	}
	var overrides []func() error
	for _, s := range o.sections {
		s.VisitAll(func(f *pflag.Flag) {
			if !f.Changed {
				return
			}
			if list, ok := f.Value.(pflag.SliceValue); ok {
				values := list.GetSlice()
				overrides = append(overrides, func() error { return list.Replace(values) })
				return
			}
			value := f.Value.String()
			overrides = append(overrides, func() error { return f.Value.Set(value) })
		})
	}
	o.config = c // the flags' values are its fields
	for _, override := range overrides {
		if err := override(); err != nil {
			return err
		}
	}
	return nil
}

// complete reads the configuration file, defaults what depends on where drey runs, and
// validates the rest. The URL of the REST API is defaulted once its address is bound.
func (o *Options) complete() error {
	if err := o.load(); err != nil {
		return err
	}
	c := &o.config
	if err := c.Validate(); err != nil {
		return err
	}
	if o.newOwnerToken && !slices.Contains(c.REST.Auth, configv1alpha1.AuthTokens) {
		return errors.New("--new-owner-token requires --rest-auth tokens")
	}
	c.REST.URL = strings.TrimSuffix(c.REST.URL, "/")
	if c.Namespace == "" {
		c.Namespace = PodNamespace()
	}
	return nil
}

// optionsError returns an error about flags as an [OptionsError]. With a configuration file
// it names the fields of the flags that are not given.
func (o *Options) optionsError(err error) error {
	if o.file != "" {
		err = errors.New(configv1alpha1.FieldNames(err.Error(), o.given))
	}
	return &OptionsError{err}
}

// checkWithoutCluster refuses options that require a cluster.
func (o *Options) checkWithoutCluster() error {
	switch {
	case o.config.Webhooks.Install:
		return errors.New("--install-webhooks needs a cluster: give --kubeconfig")
	case o.config.Registry.Store == configv1alpha1.StoreKubernetes:
		return fmt.Errorf("--store %s needs a cluster: give --kubeconfig", configv1alpha1.StoreKubernetes)
	case !o.metricsOnLoopback():
		return fmt.Errorf("--metrics-bind-address %s is not a loopback address, and without a cluster there is no RBAC to authorize its readers: "+
			"use 127.0.0.1 behind ssh or an authenticating proxy, or give --kubeconfig", o.config.Metrics.BindAddress)
	case o.config.REST.TLS.OfWebhooks:
		return errors.New("--rest-tls uses the certificate of the webhooks, which exists with a cluster only: give --kubeconfig, or --rest-tls-cert FILE --rest-tls-key FILE")
	}
	return nil
}

// metricsOnLoopback reports whether only this machine reaches /metrics.
func (o *Options) metricsOnLoopback() bool {
	local, err := configv1alpha1.IsLoopback("--metrics-bind-address", o.config.Metrics.BindAddress)
	return local && err == nil
}

func (o *Options) metricsURL() string {
	if o.metricsOnLoopback() {
		return "http://" + o.config.Metrics.BindAddress + metricsPath
	}
	return "https://" + o.config.Metrics.BindAddress + metricsPath
}

// excludedNamespaces are the Kubernetes namespaces outside admission.
func (o *Options) excludedNamespaces() []string {
	return append([]string{o.config.Namespace}, webhookconfig.SystemNamespaces...)
}

// PodNamespace returns the namespace of the pod that this process runs in, or
// drey-system outside a pod.
func PodNamespace() string {
	text, err := os.ReadFile("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
	if name := strings.TrimSpace(string(text)); err == nil && name != "" {
		return name
	}
	return "drey-system"
}
