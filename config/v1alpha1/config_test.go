package v1alpha1_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	configv1alpha1 "drey.dev/drey/config/v1alpha1"
	"drey.dev/drey/test/framework/page"
)

const header = "apiVersion: config.drey.dev/v1alpha1\nkind: DreyConfiguration\n"

// TestDecode: fields of the file replace defaults, zero values included.
func TestDecode(t *testing.T) {
	c, err := configv1alpha1.Decode([]byte(header + `
registry: {platformNamespaces: [team-a], platformNamespaceQuota: 0}
rest: {auth: [cluster]}
health: {shutdownDelay: 0s}
certificates: {lifetime: 48h}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := configv1alpha1.Default()
	want.Registry.PlatformNamespaces, want.REST.Auth = []string{"team-a"}, []string{"cluster"}
	want.Health.ShutdownDelay.Duration, want.Certificates.Lifetime.Duration = 0, 48*time.Hour
	if !c.Registry.PlatformNamespaceQuota.IsZero() {
		t.Errorf("got the quota %s, want 0", c.Registry.PlatformNamespaceQuota.String())
	}
	want.Registry.PlatformNamespaceQuota = c.Registry.PlatformNamespaceQuota
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if c, err := configv1alpha1.Decode([]byte(header)); err != nil || !cmp.Equal(c, configv1alpha1.Default()) {
		t.Errorf("without fields: got %v, want the defaults (-want +got):\n%s", err, cmp.Diff(configv1alpha1.Default(), c))
	}
}

// TestDecodeDocumented: the configuration of docs/reference/configuration.md is valid.
func TestDecodeDocumented(t *testing.T) {
	blocks, err := page.CheckedBy("../..", t.Name())
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range blocks {
		c, err := configv1alpha1.Decode([]byte(text))
		if err == nil {
			err = c.Validate()
		}
		if err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestDecodeInvalid: the error names the field.
func TestDecodeInvalid(t *testing.T) {
	for rule, c := range map[string]struct{ text, want string }{
		"unknown field":         {header + "registry: {stor: embedded}", `unknown field "registry.stor"`},
		"unknown section":       {header + "webhook: {}", `unknown field "webhook"`},
		"other case":            {header + "rest: {accesslog: true}", `unknown field "rest.accesslog"`},
		"duplicate field":       {header + "logging:\n  level: info\n  level: debug\n", `key "level" already set`},
		"duplicate, as JSON":    {`{"apiVersion": "config.drey.dev/v1alpha1", "kind": "DreyConfiguration", "logging": {"level": "info", "level": "debug"}}`, `"level"`},
		"wrong type":            {header + "rest: {accessLog: [a]}", "accessLog"},
		"no apiVersion":         {"kind: DreyConfiguration", `apiVersion is ""`},
		"other version":         {"apiVersion: config.drey.dev/v2\nkind: DreyConfiguration", "use config.drey.dev/v1alpha1"},
		"other kind":            {"apiVersion: config.drey.dev/v1alpha1\nkind: KubeletConfiguration", "use config.drey.dev/v1alpha1 and DreyConfiguration"},
		"empty file":            {"", `kind ""`},
		"no YAML":               {header + "rest: {", "line 3"},
		"several unknown ones":  {header + "a: 1\nb: 2", `unknown field "b"`},
		"invalid quantity":      {header + "registry: {platformNamespaceQuota: big}", "quantities must match"},
		"duration without unit": {header + "health: {shutdownDelay: '10'}", `"10"`},
	} {
		t.Run(rule, func(t *testing.T) {
			if _, err := configv1alpha1.Decode([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestValidate: the error has the wrong value and the fix.
func TestValidate(t *testing.T) {
	valid := configv1alpha1.Default()
	if err := valid.Validate(); err != nil {
		t.Errorf("defaults: %v", err)
	}
	for want, change := range map[string]func(*configv1alpha1.DreyConfiguration){
		`--store is "sqlite"`:                                 func(c *configv1alpha1.DreyConfiguration) { c.Registry.Store = "sqlite" },
		`--vvp-version is "latest"`:                           func(c *configv1alpha1.DreyConfiguration) { c.REST.VVPVersion = "latest" },
		`--rest-auth is "none"`:                               func(c *configv1alpha1.DreyConfiguration) { c.REST.Auth = []string{"none"} },
		"--rest-auth is empty":                                func(c *configv1alpha1.DreyConfiguration) { c.REST.Auth = nil },
		"--rest-bind-address :8443 is not a loopback address": func(c *configv1alpha1.DreyConfiguration) { c.REST.BindAddress = ":8443" },
		"--rest-tls-cert and --rest-tls-key go together":      func(c *configv1alpha1.DreyConfiguration) { c.REST.TLS.CertFile = "a.crt" },
		"--metrics-bind-address: address 8081":                func(c *configv1alpha1.DreyConfiguration) { c.Metrics.BindAddress = "8081" },
		"--health-probe-bind-address: address x":              func(c *configv1alpha1.DreyConfiguration) { c.Health.BindAddress = "x" },
		"--shutdown-delay is -1s":                             func(c *configv1alpha1.DreyConfiguration) { c.Health.ShutdownDelay.Duration = -time.Second },
		"--mode: ":                                            func(c *configv1alpha1.DreyConfiguration) { c.Webhooks.Mode = "strict" },
		`--certs is "none"`:                                   func(c *configv1alpha1.DreyConfiguration) { c.Certificates.Issuer = "none" },
		`--webhook-tls-min-version is "1.1"`:                  func(c *configv1alpha1.DreyConfiguration) { c.Webhooks.TLS.MinVersion = "1.1" },
		"--webhook-client-name requires":                      func(c *configv1alpha1.DreyConfiguration) { c.Webhooks.TLS.ClientName = "apiserver" },
		`":9443" has no host`:                                 func(c *configv1alpha1.DreyConfiguration) { c.Webhooks.Install = true },
		`--traces-endpoint is "collector"`:                    func(c *configv1alpha1.DreyConfiguration) { c.Tracing.Endpoint = "collector" },
		"--traces-ratio is 2": func(c *configv1alpha1.DreyConfiguration) {
			c.Tracing = configv1alpha1.TracingConfiguration{Endpoint: "http://collector", SamplingRatio: 2}
		},
		`--log-format is "xml"`:  func(c *configv1alpha1.DreyConfiguration) { c.Logging.Format = "xml" },
		`--log-level is "trace"`: func(c *configv1alpha1.DreyConfiguration) { c.Logging.Level = "trace" },
		"requires --store embedded": func(c *configv1alpha1.DreyConfiguration) {
			c.REST.Auth, c.Registry.Store = []string{"tokens"}, "kubernetes"
		},
	} {
		t.Run(want, func(t *testing.T) {
			c := configv1alpha1.Default()
			change(&c)
			if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q", err, want)
			}
		})
	}
}

func TestFieldNames(t *testing.T) {
	given := func(flag string) bool { return flag == "store" }
	const message = `--rest-auth tokens requires --store embedded, and --kubeconfig`
	if got, want := configv1alpha1.FieldNames(message, given), `rest.auth tokens requires --store embedded, and --kubeconfig`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := configv1alpha1.FieldNames(message, nil), `rest.auth tokens requires registry.store embedded, and --kubeconfig`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
