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

// Names of the Issuers and Certificates in drey's namespace. The Secret of a Certificate
// has its name.
const (
	issuerBootstrap = "drey-bootstrap"
	caName          = "drey-ca"

	// ServingName is the name of the webhooks' serving Certificate and its Secret.
	ServingName = "drey-serving"
)

// CertManager serves the certificate that cert-manager issues and renews. cainjector
// writes the CA into the webhook configurations.
//
// The source of the injection is the Secret of the serving certificate, not that of the CA:
// cert-manager renews a CA without reissuing the certificates that it signed, and the
// caBundle has to contain the CA of the certificate in use.
type CertManager struct {
	*replica
	objects dynamic.Interface
	options Options
	paths   pathRenewer
}

// CertManagerServed reports whether the API server serves cert-manager's API.
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
		return false, fmt.Errorf("discover API %s: %w", cmapi.SchemeGroupVersion, err)
	}
	return slices.ContainsFunc(list.APIResources, func(r metav1.APIResource) bool { return r.Kind == cmapi.CertificateKind }), nil
}

// NewCertManager validates the options and makes the clients. It sends no request.
func NewCertManager(o Options) (*CertManager, error) {
	policy, err := o.policy()
	if err != nil {
		return nil, err
	}
	if policy.LeafLifetime < cmapi.MinimumCertificateDuration || policy.LeafLifetime > policy.CALifetime/3 {
		return nil, fmt.Errorf("certificates: serving certificate lifetime %s must be between %s, the minimum of cert-manager, and a third of the CA lifetime %s, because cert-manager renews a CA after two thirds of its lifetime without reissuing certificates",
			policy.LeafLifetime, cmapi.MinimumCertificateDuration, policy.CALifetime)
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
	return &CertManager{newReplica(o, a, policy.PropagationDelay, ServingName, checkCertificateName(ServingName), 0), objects, o, pathRenewer{base: o.Paths}}, nil
}

// Lead applies the Issuers and Certificates, annotates the webhook configurations for
// cainjector, and writes their paths, until ctx ends.
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
		if err := checkCertificateName(name)(secret); err != nil {
			return time.Time{}, err
		}
	}
	for _, o := range c.desired() {
		if err := c.apply(ctx, o); err != nil {
			return time.Time{}, err
		}
	}
	err := c.configure(ctx)
	return c.paths.next(), err
}

// checkCertificateName returns a check that a Secret was issued for a Certificate.
func checkCertificateName(certificate string) func(*corev1.Secret) error {
	return func(s *corev1.Secret) error {
		if s.Annotations[cmapi.CertificateNameKey] == certificate {
			return nil
		}
		return fmt.Errorf("secret %s/%s does not belong to Certificate %q: annotation %s is %q; if it is unused, run: kubectl delete secret -n %s %s",
			s.Namespace, s.Name, certificate, cmapi.CertificateNameKey, s.Annotations[cmapi.CertificateNameKey], s.Namespace, s.Name)
	}
}

// object is an Issuer or a Certificate.
type object interface {
	metav1.Object
	runtime.Object
}

// desired returns the Issuers, the CA and the serving Certificate. cert-manager renews both
// certificates after two thirds of their lifetime, its default, with a new key.
func (c *CertManager) desired() []object {
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

// apply applies an object server-side. It does not touch an object that drey does not manage.
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
		return fail(fmt.Errorf("not managed by drey: label %s=%s is missing; if it is unused, run: kubectl delete %s -n %s %s",
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

// configure annotates the configurations so that cainjector writes their caBundles, and
// writes their paths.
func (c *CertManager) configure(ctx context.Context) error {
	all, err := c.api.configurations(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	renew := c.paths.due(now)
	var errs []error
	for _, one := range all {
		ops := append(one.annotateOps(cmapi.WantInjectAnnotation, c.options.Namespace+"/"+ServingName), c.paths.ops(one, renew)...)
		if one.checkOwner() != nil || len(ops) == 0 {
			continue
		}
		errs = append(errs, c.api.patch(ctx, one, ops))
	}
	if err = errors.Join(errs...); err == nil && renew {
		c.paths.renewed = now
	}
	return err
}

// Ready returns the same errors as in the other modes. Until cert-manager has issued a
// certificate they name the command that shows why.
func (c *CertManager) Ready() error {
	err := c.replica.Ready()
	if err != nil && c.serving.Load() == nil {
		return fmt.Errorf("%w; run: kubectl describe certificate -n %s %s %s", err, c.options.Namespace, caName, ServingName)
	}
	return err
}
