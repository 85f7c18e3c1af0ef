package bundle

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	configv1alpha1 "drey.dev/drey/config/v1alpha1"
	"drey.dev/drey/webhook/config"
)

// ConfigKey is the key of the configuration file in the ConfigMap [Name].
const ConfigKey = "config.yaml"

// configDir is the mount path of the ConfigMap.
const configDir = "/etc/drey"

// checksumAnnotation is on the pod template, so that a change of the configuration rolls the
// Deployment.
const checksumAnnotation = "checksum/config"

// config returns the ConfigMap with the configuration file of drey serve.
func (o *Options) config() (*corev1.ConfigMap, error) {
	address := func(port int32) string { return fmt.Sprintf(":%d", port) }
	c := configv1alpha1.DreyConfiguration{
		TypeMeta:     metav1.TypeMeta{APIVersion: configv1alpha1.APIVersion, Kind: configv1alpha1.Kind},
		Registry:     configv1alpha1.RegistryConfiguration{Store: o.Store},
		REST:         configv1alpha1.RESTConfiguration{BindAddress: address(restPort), URL: o.RESTURL, Auth: []string{configv1alpha1.AuthCluster}},
		Webhooks:     configv1alpha1.WebhooksConfiguration{BindAddress: address(webhookPort), Mode: string(o.Mode), Contact: o.Contact},
		Certificates: configv1alpha1.CertificatesConfiguration{Issuer: o.Certs},
		Metrics:      configv1alpha1.MetricsConfiguration{BindAddress: address(metricsPort)},
		Health:       configv1alpha1.HealthConfiguration{BindAddress: address(probePort)},
		Logging:      configv1alpha1.LoggingConfiguration{Format: "json"},
	}
	c.REST.TLS.OfWebhooks = true
	if o.Store == Embedded {
		c.Registry.DataDir = dataDir
	}
	text, err := yaml.Marshal(c)
	if err != nil {
		return nil, err
	}
	return &corev1.ConfigMap{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, ObjectMeta: o.meta(), Data: map[string]string{ConfigKey: string(text)},
	}, nil
}

// checksum returns the SHA-256 of the configuration file.
func checksum(config *corev1.ConfigMap) string {
	sum := sha256.Sum256([]byte(config.Data[ConfigKey]))
	return hex.EncodeToString(sum[:])
}

// WithConfig returns the options with those that a configuration has.
func (o Options) WithConfig(c configv1alpha1.DreyConfiguration) Options {
	o.Store, o.Mode, o.RESTURL, o.Contact = c.Registry.Store, config.Mode(c.Webhooks.Mode), c.REST.URL, c.Webhooks.Contact
	if c.Certificates.Issuer == SelfSigned || c.Certificates.Issuer == CertManager {
		o.Certs = c.Certificates.Issuer
	}
	return o
}
