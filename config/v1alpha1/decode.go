package v1alpha1

import (
	"errors"
	"fmt"
	"regexp"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// Decode reads a file, in YAML or JSON, over the defaults. An unknown or duplicate field is
// an error that names it.
func Decode(text []byte) (DreyConfiguration, error) {
	c := Default()
	c.TypeMeta = metav1.TypeMeta{} // required in the file
	text, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return c, err
	}
	strict, err := kjson.UnmarshalStrict(text, &c)
	switch {
	case err != nil:
		return c, err
	case c.APIVersion != APIVersion || c.Kind != Kind:
		return c, fmt.Errorf("apiVersion is %q and kind %q: use %s and %s", c.APIVersion, c.Kind, APIVersion, Kind)
	}
	return c, errors.Join(strict...)
}

// Parse decodes and validates a file. Errors are in terms of its fields.
func Parse(text []byte) (DreyConfiguration, error) {
	c, err := Decode(text)
	if err != nil {
		return c, err
	}
	if err := c.Validate(); err != nil {
		return c, errors.New(FieldNames(err.Error(), nil))
	}
	return c, nil
}

// Fields are the paths of the fields, by the flags that override them.
var Fields = map[string]string{
	"namespace":    "namespace",
	"enable-http2": "enableHTTP2",

	"store":                    "registry.store",
	"data-dir":                 "registry.dataDir",
	"platform-namespace":       "registry.platformNamespaces",
	"platform-namespace-quota": "registry.platformNamespaceQuota",
	"create-namespaces":        "registry.createNamespaces",

	"rest-bind-address":  "rest.bindAddress",
	"rest-url":           "rest.url",
	"rest-auth":          "rest.auth",
	"rest-auth-audience": "rest.authAudiences",
	"rest-tls-cert":      "rest.tls.certFile",
	"rest-tls-key":       "rest.tls.keyFile",
	"rest-tls":           "rest.tls.ofWebhooks",
	"access-log":         "rest.accessLog",
	"vvp-version":        "rest.vvpVersion",

	"webhook-bind-address":    "webhooks.bindAddress",
	"mode":                    "webhooks.mode",
	"contact":                 "webhooks.contact",
	"install-webhooks":        "webhooks.install",
	"webhook-tls-min-version": "webhooks.tls.minVersion",
	"webhook-client-ca":       "webhooks.tls.clientCAFile",
	"webhook-client-name":     "webhooks.tls.clientName",

	"certs":                "certificates.issuer",
	"certs-ca-lifetime":    "certificates.caLifetime",
	"certs-lifetime":       "certificates.lifetime",
	"ca-propagation-delay": "certificates.caPropagationDelay",

	"metrics-bind-address":      "metrics.bindAddress",
	"health-probe-bind-address": "health.bindAddress",
	"shutdown-delay":            "health.shutdownDelay",

	"log-format":      "logging.format",
	"log-level":       "logging.level",
	"traces-endpoint": "tracing.endpoint",
	"traces-ratio":    "tracing.samplingRatio",
}

var flagName = regexp.MustCompile(`--([a-z0-9-]*[a-z0-9])`)

// FieldNames returns a message about flags, such as that of [DreyConfiguration.Validate], in
// terms of the fields of a file. Flags for which given is true are kept; given may be nil.
func FieldNames(message string, given func(flag string) bool) string {
	return flagName.ReplaceAllStringFunc(message, func(flag string) string {
		field, ok := Fields[flag[len("--"):]]
		if !ok || given != nil && given(flag[len("--"):]) {
			return flag
		}
		return field
	})
}
