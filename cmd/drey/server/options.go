package server

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/api/resource"

	"drey.dev/drey/cmd/drey/tracing"
	"drey.dev/drey/registry"
	"drey.dev/drey/registry/rest"
	webhookconfig "drey.dev/drey/webhook/config"
)

// OptionsError means that the flags are invalid.
type OptionsError struct{ err error }

func (e *OptionsError) Error() string { return e.err.Error() }
func (e *OptionsError) Unwrap() error { return e.err }

// Options configure drey serve. [Options.BindFlags] sets the defaults.
type Options struct {
	Build     rest.Build
	Out       io.Writer // gets the owner's token, which is never logged
	LogOutput io.Writer

	dataDir            string
	restAddress        string
	restURL            string
	auth               restAuth
	accessLog          bool
	webhookAddress     string
	metricsAddress     string
	enableHTTP2        bool
	probeAddress       string
	shutdownDelay      time.Duration
	kubeconfig         string
	namespace          string
	platformNamespaces []string
	quota              resource.QuantityValue
	vvpVersion         string
	logFormat          string
	logLevel           string
	installWebhooks    bool
	mode               string
	store              string
	createNamespaces   bool
	certs              certificateOptions
	traces             tracing.Options
}

// Values of --store.
const (
	storeEmbedded   = "embedded"   // one file, one process
	storeKubernetes = "kubernetes" // custom resources, any number of replicas
)

// BindFlags registers the flags of drey serve.
func (o *Options) BindFlags(f *pflag.FlagSet) {
	f.StringVar(&o.dataDir, "data-dir", "drey-data", "directory of the registry's file; created if it does not exist")
	f.StringVar(&o.restAddress, "rest-bind-address", "127.0.0.1:8080", "host:port of the REST API; off loopback it requires --rest-tls-cert, --rest-tls-key and --rest-auth")
	f.StringVar(&o.restURL, "rest-url", "", "external base URL of the REST API, for the commands in denials (default: that of --rest-bind-address)")
	o.auth.bind(f)
	f.BoolVar(&o.accessLog, "access-log", false, "log every REST request at level info, instead of debug")
	f.StringVar(&o.webhookAddress, "webhook-bind-address", ":9443", "host:port of the webhooks, over TLS; used with a cluster only")
	f.StringVar(&o.metricsAddress, "metrics-bind-address", "127.0.0.1:8081", "host:port of /metrics, /livez and /readyz; off loopback it serves /metrics alone, over TLS, to users whom RBAC allows get on it")
	f.BoolVar(&o.enableHTTP2, "enable-http2", false, "offer HTTP/2 on the webhooks, /metrics and the REST API; the default, HTTP/1.1, is not exposed to HTTP/2 Rapid Reset (CVE-2023-44487)")
	f.StringVar(&o.probeAddress, "health-probe-bind-address", "", "host:port of /livez and /readyz for a kubelet or load balancer, without TLS; empty: that of --metrics-bind-address")
	f.DurationVar(&o.shutdownDelay, "shutdown-delay", 10*time.Second, "with --health-probe-bind-address: keep serving this long after SIGTERM, with /readyz at 503, until endpoints have propagated")
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig of the cluster; empty: the cluster that drey runs in, if any")
	f.StringVar(&o.namespace, "namespace", "", "drey's own Kubernetes namespace: the default of targets without a namespace, excluded from admission (default: the pod's namespace, else drey-system)")
	f.StringArrayVar(&o.platformNamespaces, "platform-namespace", nil, "platform namespace to create at startup, beside default; repeatable")
	o.quota.Quantity = *resource.NewQuantity(registry.DefaultQuota, resource.BinarySI)
	f.Var(&o.quota, "platform-namespace-quota", "total size of the objects of a platform namespace, such as 32Mi; 0: unlimited")
	f.StringVar(&o.vvpVersion, "vvp-version", rest.DefaultVVPVersion, "version of Ververica Platform that clients of the REST API see in system-info, and compare")
	f.StringVar(&o.logFormat, "log-format", "text", "text or json")
	f.StringVar(&o.logLevel, "log-level", "info", "debug, info, warn or error")
	f.BoolVar(&o.installWebhooks, "install-webhooks", false, "register the webhooks by the URL of --webhook-bind-address, for a drey outside of the cluster")
	f.StringVar(&o.store, "store", storeEmbedded, "store of the registry: embedded (a file in --data-dir, one process) or kubernetes (custom resources, any number of replicas)")
	f.BoolVar(&o.createNamespaces, "create-namespaces", false, "with --store kubernetes: create the Kubernetes namespace of a new platform namespace if it does not exist")
	f.StringVar(&o.mode, "mode", string(webhookconfig.Enforce), "enforce denies a violation, warn admits it with a warning, audit admits it and emits an event; the namespace label "+webhookconfig.LabelMode+" overrides it")
	o.traces.BindFlags(f)
	o.certs.bind(f)
}

var vvpVersions = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$`)

// complete defaults what depends on where drey runs, and validates the rest.
func (o *Options) complete() error {
	if err := o.auth.check(o.restAddress); err != nil {
		return err
	}
	if _, err := isLoopback("--metrics-bind-address", o.metricsAddress); err != nil {
		return err
	}
	if o.probeAddress != "" {
		if _, err := isLoopback("--health-probe-bind-address", o.probeAddress); err != nil {
			return err
		}
	}
	if o.quota.Sign() < 0 {
		return fmt.Errorf("--platform-namespace-quota is %s: use a size such as 32Mi, or 0 for unlimited", o.quota.String())
	}
	if !vvpVersions.MatchString(o.vvpVersion) {
		return fmt.Errorf("--vvp-version is %q: use a version such as %s", o.vvpVersion, rest.DefaultVVPVersion)
	}
	if o.shutdownDelay < 0 {
		return fmt.Errorf("--shutdown-delay is %s: want 0s or more", o.shutdownDelay)
	}
	if o.restURL = strings.TrimSuffix(o.restURL, "/"); o.restURL == "" {
		o.restURL = o.auth.scheme() + o.restAddress
	}
	if err := o.checkStore(); err != nil {
		return err
	}
	if _, err := webhookconfig.ParseMode(o.mode); err != nil {
		return fmt.Errorf("--mode: %w", err)
	}
	if o.namespace == "" {
		o.namespace = PodNamespace()
	}
	if err := errors.Join(o.certs.check(), o.traces.Check()); err != nil {
		return err
	}
	host, _, err := net.SplitHostPort(o.webhookAddress)
	if err != nil {
		return fmt.Errorf("--webhook-bind-address: %w", err)
	}
	if ip := net.ParseIP(host); o.installWebhooks && (host == "" || ip != nil && ip.IsUnspecified()) {
		return fmt.Errorf("--install-webhooks registers the webhooks by the URL of --webhook-bind-address, and %q has no host: "+
			"use an address at which the API server reaches this machine, such as 127.0.0.1:9443", o.webhookAddress)
	}
	return nil
}

func (o *Options) checkStore() error {
	switch {
	case o.store != storeEmbedded && o.store != storeKubernetes:
		return fmt.Errorf("--store is %q: use %s or %s", o.store, storeEmbedded, storeKubernetes)
	case o.store == storeKubernetes && slices.Contains(o.auth.ways, authTokens):
		return fmt.Errorf("--rest-auth %s requires --store %s; with --store %s use the cluster's users and RBAC: --rest-auth %s",
			authTokens, storeEmbedded, storeKubernetes, authCluster)
	}
	return nil
}

// checkWithoutCluster refuses options that require a cluster.
func (o *Options) checkWithoutCluster() error {
	switch {
	case o.installWebhooks:
		return errors.New("--install-webhooks needs a cluster: give --kubeconfig")
	case o.store == storeKubernetes:
		return fmt.Errorf("--store %s needs a cluster: give --kubeconfig", storeKubernetes)
	case !o.metricsOnLoopback():
		return fmt.Errorf("--metrics-bind-address %s is not a loopback address, and without a cluster there is no RBAC to authorize its readers: "+
			"use 127.0.0.1 behind ssh or an authenticating proxy, or give --kubeconfig", o.metricsAddress)
	case o.auth.shared:
		return errors.New("--rest-tls uses the certificate of the webhooks, which exists with a cluster only: give --kubeconfig, or --rest-tls-cert FILE --rest-tls-key FILE")
	}
	return nil
}

// metricsOnLoopback reports whether only this machine reaches /metrics.
func (o *Options) metricsOnLoopback() bool {
	local, err := isLoopback("--metrics-bind-address", o.metricsAddress)
	return local && err == nil
}

func (o *Options) metricsURL() string {
	if o.metricsOnLoopback() {
		return "http://" + o.metricsAddress + metricsPath
	}
	return "https://" + o.metricsAddress + metricsPath
}

// excludedNamespaces are the Kubernetes namespaces outside of admission.
func (o *Options) excludedNamespaces() []string {
	return append([]string{o.namespace}, webhookconfig.SystemNamespaces...)
}

// isLoopback reports whether only this machine reaches an address.
func isLoopback(flag, address string) (bool, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false, fmt.Errorf("%s: %w", flag, err)
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback(), nil
}

// PodNamespace returns the namespace of the pod that this process runs in, or
// drey-system outside of a pod.
func PodNamespace() string {
	text, err := os.ReadFile("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
	if name := strings.TrimSpace(string(text)); err == nil && name != "" {
		return name
	}
	return "drey-system"
}
