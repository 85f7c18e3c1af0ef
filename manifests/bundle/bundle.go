// Package bundle generates the objects that run drey in a cluster, for the kustomize base,
// the Helm chart and `drey install`.
package bundle

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"drey.dev/drey/manifests"
	"drey.dev/drey/webhook/config"
)

// Name is the name of the ServiceAccount, the Deployment, the Service, and every other object
// that needs no name of its own.
const Name = "drey"

// Namespace is the default of Options.Namespace.
const Namespace = "drey-system"

// The values of Options.Certs: the issuer of the serving certificate.
const (
	SelfSigned  = "self-signed"
	CertManager = "cert-manager"
)

// The values of Options.Store.
const (
	Kubernetes = "kubernetes" // custom resources; any number of replicas
	Embedded   = "embedded"   // a file on a volume; one replica
)

// Options configure an installation. See [Defaults].
type Options struct {
	Namespace        string // drey's own, which its webhooks exclude
	ServiceAccount   string // of the pods; policies name it
	Image            string
	Replicas         int32
	Certs            string
	Store            string
	VolumeSize       string // of the embedded store
	Mode             config.Mode
	RESTURL          string            // of the REST API, for remedies in denials; empty: the Service
	Contact          string            // of the people who register targets, in denials
	APIServerPorts   []int32           // to which the NetworkPolicy allows egress, beside 443 and 6443
	TargetNamespaces []string          // get a ServiceAccount flink with the permissions of a Flink job
	AggregateTo      []string          // of the ClusterRoles view, edit and admin, those that include drey's for people
	NodeSelector     map[string]string // of the pods, beside Linux
	Tolerations      []corev1.Toleration
}

// Defaults returns two replicas with the registry in the cluster and a self-signed
// certificate, in mode enforce.
func Defaults() Options {
	return Options{Namespace: Namespace, ServiceAccount: Name, Image: Image(), Replicas: 2, Certs: SelfSigned, Store: Kubernetes, VolumeSize: "1Gi", Mode: config.Enforce, AggregateTo: UserRoles()}
}

// UserRoles returns the ClusterRoles of Kubernetes for people, the default of Options.AggregateTo.
func UserRoles() []string { return []string{"view", "edit", "admin"} }

// The image of the release that the manifests run. The linker sets those of the program.
var (
	Repository = "drey.dev/drey"
	Version    = "0.1.0"
)

// Image returns the repository with the version as its tag.
func Image() string { return Repository + ":" + Version }

// complete validates the options, and sets the defaults that depend on others.
func (o *Options) complete() error {
	switch {
	case len(validation.IsDNS1123Label(o.Namespace)) > 0:
		return fmt.Errorf("invalid namespace %q: use lower-case letters, digits and hyphens", o.Namespace)
	case strings.HasPrefix(o.Namespace, "kube-"):
		return fmt.Errorf("invalid namespace %q: it is reserved for Kubernetes; use another, such as %s", o.Namespace, Namespace)
	case len(validation.IsDNS1123Subdomain(o.ServiceAccount)) > 0:
		return fmt.Errorf("invalid ServiceAccount %q: use lower-case letters, digits, hyphens and dots", o.ServiceAccount)
	case o.Image == "":
		return errors.New("no image: give one")
	case o.Certs != SelfSigned && o.Certs != CertManager:
		return fmt.Errorf("invalid certificate issuer %q: use %s or %s", o.Certs, SelfSigned, CertManager)
	case o.Store != Kubernetes && o.Store != Embedded:
		return fmt.Errorf("invalid store %q: use %s or %s", o.Store, Kubernetes, Embedded)
	case o.Replicas < 1:
		return fmt.Errorf("invalid number of replicas %d: use 2, or 1 with the embedded store", o.Replicas)
	case o.Store == Embedded && o.Replicas != 1:
		return fmt.Errorf("invalid number of replicas %d: the embedded store allows one process; use 1, or the store %s", o.Replicas, Kubernetes)
	}
	for _, role := range o.AggregateTo {
		if !slices.Contains(UserRoles(), role) {
			return fmt.Errorf("invalid ClusterRole %q to aggregate to: use %s", role, strings.Join(UserRoles(), ", "))
		}
	}
	if _, err := resource.ParseQuantity(o.VolumeSize); o.Store == Embedded && err != nil {
		return fmt.Errorf("invalid volume size %q: use a quantity such as 1Gi", o.VolumeSize)
	}
	if _, err := config.ParseMode(string(o.Mode)); err != nil {
		return err
	}
	if o.RESTURL == "" {
		o.RESTURL = fmt.Sprintf("https://%s.%s.svc:%d", Name, o.Namespace, restPort)
	}
	return nil
}

// Stage is a set of objects that is applied before the next one.
type Stage struct {
	Name    string
	Objects []Object
}

// The stages, in order. The API server calls drey only once drey is ready.
const (
	Definitions = "definitions" // the custom resource definitions, and the namespace
	RBAC        = "rbac"
	Server      = "server"
	Admission   = "admission" // webhook configurations and policies
)

// Stages returns all objects, in the order to apply them. They are removed in reverse.
func Stages(o Options) ([]Stage, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	definitions, err := o.definitions()
	if err != nil {
		return nil, err
	}
	rbac, err := o.rbac()
	if err != nil {
		return nil, err
	}
	server, err := o.server()
	if err != nil {
		return nil, err
	}
	admission, err := o.admission()
	if err != nil {
		return nil, err
	}
	return []Stage{{Definitions, definitions}, {RBAC, rbac}, {Server, server}, {Admission, admission}}, nil
}

// CRDs returns the CustomResourceDefinitions of drey's objects.
func CRDs() ([]Object, error) {
	texts, err := manifests.CRDs()
	if err != nil {
		return nil, err
	}
	var all []Object
	for _, text := range texts {
		object, err := parse(text)
		if err != nil {
			return nil, err
		}
		all = append(all, object)
	}
	return all, nil
}

// definitions includes the custom resource definitions with the embedded store too, so that
// the store can be changed later.
func (o *Options) definitions() ([]Object, error) {
	all, err := CRDs()
	if err != nil {
		return nil, err
	}
	const level = "pod-security.kubernetes.io/"
	namespace, err := convert(&corev1.Namespace{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
		ObjectMeta: metav1.ObjectMeta{Name: o.Namespace, Labels: with(labels(), map[string]string{
			level + "enforce": "restricted", level + "audit": "restricted", level + "warn": "restricted",
		})},
	})
	return append(all, namespace...), err
}

// labels identify drey's objects.
func labels() map[string]string { return map[string]string{"app.kubernetes.io/name": Name} }

func with(a, b map[string]string) map[string]string {
	maps.Copy(a, b)
	return a
}

// meta returns the metadata of an object in drey's namespace.
func (o *Options) meta() metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: o.Namespace, Name: Name, Labels: labels()}
}
