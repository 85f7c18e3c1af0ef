package certs

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	cmapi "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// The names of what drey asks cert-manager for, in its own namespace. A
// Certificate and its Secret have the same name.
const (
	issuerBootstrap = "drey-bootstrap"
	caName          = "drey-ca"

	// ServingName is the Certificate that the webhooks are served with.
	ServingName = "drey-serving"
)

// CertManager serves the certificate that cert-manager makes and renews. Its
// cainjector writes the CA into the webhook configurations.
//
// The CA is injected from the serving certificate's Secret rather than from the
// CA's, so that the caBundle never lacks the CA of a certificate that was
// issued: cert-manager renews a CA without renewing what it signed.
type CertManager struct {
	*replica
	objects dynamic.Interface
	options Options
}

// CertManagerServed tells whether the API server serves cert-manager's API.
func CertManagerServed(config *rest.Config) (bool, error) {
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return false, err
	}
	list, err := client.ServerResourcesForGroupVersion(cmapi.SchemeGroupVersion.String())
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("ask whether the cluster has cert-manager: %w", err)
	}
	return slices.ContainsFunc(list.APIResources, func(r metav1.APIResource) bool { return r.Kind == cmapi.CertificateKind }), nil
}

// NewCertManager prepares it. Nothing is read or written yet.
func NewCertManager(o Options) (*CertManager, error) {
	policy, err := o.policy()
	if err != nil {
		return nil, err
	}
	if policy.LeafLifetime < cmapi.MinimumCertificateDuration || policy.LeafLifetime > policy.CALifetime/3 {
		return nil, fmt.Errorf("certificates: a serving certificate of %s and a CA of %s: cert-manager makes none for less than %s, and renews a CA at two thirds of its life without renewing what it signed, so make the first at most a third of the second",
			policy.LeafLifetime, policy.CALifetime, cmapi.MinimumCertificateDuration)
	}
	o.CALifetime, o.Lifetime = policy.CALifetime, policy.LeafLifetime
	a, err := newAPI(o.Cluster, o.Namespace, o.Configuration)
	if err != nil {
		return nil, err
	}
	objects, err := dynamic.NewForConfig(o.Cluster)
	if err != nil {
		return nil, err
	}
	return &CertManager{newReplica(o, a, policy.Settle, ServingName, writtenFor(ServingName), 0), objects, o}, nil
}

// Lead asks cert-manager for the certificates, and its cainjector to write the
// CA into the webhook configurations, until ctx ends.
func (c *CertManager) Lead(ctx context.Context) error { return lead(ctx, c.replica, c.reconcile) }

func (c *CertManager) reconcile(ctx context.Context) (time.Time, error) {
	for _, name := range []string{caName, ServingName} {
		secret, err := c.api.secret(ctx, name)
		if err != nil {
			return time.Time{}, err
		}
		if secret == nil {
			continue
		}
		if err := writtenFor(name)(secret); err != nil {
			return time.Time{}, err
		}
	}
	for _, o := range c.wanted() {
		if err := c.apply(ctx, o); err != nil {
			return time.Time{}, err
		}
	}
	return time.Now().Add(time.Hour), c.inject(ctx)
}

// writtenFor returns a check that cert-manager wrote the Secret for a
// Certificate.
func writtenFor(certificate string) func(*corev1.Secret) error {
	return func(s *corev1.Secret) error {
		if s.Annotations[cmapi.CertificateNameKey] == certificate {
			return nil
		}
		return fmt.Errorf("the Secret %s/%s is not that of Certificate %s, for it lacks the annotation %s, and is left alone. If nobody needs it: kubectl delete secret -n %s %s",
			s.Namespace, s.Name, certificate, cmapi.CertificateNameKey, s.Namespace, s.Name)
	}
}

// object is one of cert-manager's.
type object interface {
	metav1.Object
	runtime.Object
}

// wanted are a CA of drey's own, and the certificate that it signs. Both are
// renewed at two thirds of their life, with a new key, as is cert-manager's
// default.
func (c *CertManager) wanted() []object {
	meta := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: c.options.Namespace, Name: name, Labels: map[string]string{ManagedByLabel: Owner}}
	}
	issuer := func(name string, config cmapi.IssuerConfig) *cmapi.Issuer {
		i := &cmapi.Issuer{ObjectMeta: meta(name), Spec: cmapi.IssuerSpec{IssuerConfig: config}}
		i.SetGroupVersionKind(cmapi.SchemeGroupVersion.WithKind(cmapi.IssuerKind))
		return i
	}
	certificate := func(name, issuer string, lifetime time.Duration) *cmapi.Certificate {
		cert := &cmapi.Certificate{ObjectMeta: meta(name), Spec: cmapi.CertificateSpec{
			SecretName: name, Duration: &metav1.Duration{Duration: lifetime},
			IssuerRef:  cmmeta.IssuerReference{Group: cmapi.SchemeGroupVersion.Group, Kind: cmapi.IssuerKind, Name: issuer},
			PrivateKey: &cmapi.CertificatePrivateKey{Algorithm: cmapi.ECDSAKeyAlgorithm, Size: 256, RotationPolicy: cmapi.RotationPolicyAlways},
		}}
		cert.SetGroupVersionKind(cmapi.SchemeGroupVersion.WithKind(cmapi.CertificateKind))
		return cert
	}
	ca := certificate(caName, issuerBootstrap, c.options.CALifetime)
	ca.Spec.IsCA, ca.Spec.CommonName = true, "drey webhook CA"
	serving := certificate(ServingName, caName, c.options.Lifetime)
	serving.Spec.CommonName = "drey"
	serving.Spec.Usages = []cmapi.KeyUsage{cmapi.UsageDigitalSignature, cmapi.UsageServerAuth}
	for _, h := range c.options.Hosts {
		if net.ParseIP(h) != nil {
			serving.Spec.IPAddresses = append(serving.Spec.IPAddresses, h)
		} else {
			serving.Spec.DNSNames = append(serving.Spec.DNSNames, h)
		}
	}
	return []object{
		issuer(issuerBootstrap, cmapi.IssuerConfig{SelfSigned: &cmapi.SelfSignedIssuer{}}),
		ca,
		issuer(caName, cmapi.IssuerConfig{CA: &cmapi.CAIssuer{SecretName: caName}}),
		serving,
	}
}

// apply makes the object, or brings drey's to what it should be.
func (c *CertManager) apply(ctx context.Context, o object) error {
	kind := o.GetObjectKind().GroupVersionKind()
	resource := c.objects.Resource(schema.GroupVersionResource{
		Group: kind.Group, Version: kind.Version, Resource: strings.ToLower(kind.Kind) + "s",
	}).Namespace(c.options.Namespace)
	fail := func(err error) error {
		return fmt.Errorf("%s %s/%s: %w", kind.Kind, c.options.Namespace, o.GetName(), err)
	}
	switch have, err := resource.Get(ctx, o.GetName(), metav1.GetOptions{}); {
	case apierrors.IsNotFound(err):
	case err != nil:
		return fail(err)
	case have.GetLabels()[ManagedByLabel] != Owner:
		return fail(fmt.Errorf("it is not drey's, for it lacks the label %s=%s, and is left alone. If nobody needs it: kubectl delete %s -n %s %s",
			ManagedByLabel, Owner, strings.ToLower(kind.Kind), c.options.Namespace, o.GetName()))
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		return fail(err)
	}
	delete(content, "status")
	if _, err := resource.Apply(ctx, o.GetName(), &unstructured.Unstructured{Object: content}, metav1.ApplyOptions{FieldManager: fieldManager, Force: true}); err != nil {
		return fail(err)
	}
	return nil
}

// inject asks cainjector to write the CA into the configurations.
func (c *CertManager) inject(ctx context.Context) error {
	all, err := c.api.configurations(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, one := range all {
		changes := one.annotate(cmapi.WantInjectAnnotation, c.options.Namespace+"/"+ServingName)
		if one.owned() != nil || len(changes) == 0 {
			continue
		}
		errs = append(errs, c.api.change(ctx, one, changes))
	}
	return errors.Join(errs...)
}

// Ready is that of every mode; while cert-manager has issued nothing yet, it says
// where to look.
func (c *CertManager) Ready() error {
	err := c.replica.Ready()
	if err != nil && c.serving.Load() == nil {
		return fmt.Errorf("%w; cert-manager's side: kubectl describe certificate -n %s %s %s", err, c.options.Namespace, caName, ServingName)
	}
	return err
}
