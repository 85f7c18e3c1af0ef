// Package bundle makes the objects by which drey runs in a cluster. The kustomize
// base, the Helm chart and `drey install` all have them from here.
package bundle

import (
	"errors"
	"fmt"
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"drey.dev/drey/manifests"
	"drey.dev/drey/webhook/config"
)

// Name is that of every object that needs no other: the ServiceAccount, the
// Deployment, the Service.
const Name = "drey"

// Namespace is where drey runs unless it is told otherwise.
const Namespace = "drey-system"

// Where the certificate of the webhooks comes from.
const (
	SelfSigned  = "self-signed"
	CertManager = "cert-manager"
)

// Where the registry is kept.
const (
	Kubernetes = "kubernetes" // in custom resources; any number of replicas
	Embedded   = "embedded"   // in a file on a volume; one replica
)

// Options say how drey is to run. [Defaults] are what most want.
type Options struct {
	Namespace        string // drey's own; the gates leave it alone
	Image            string
	Replicas         int32
	Certs            string
	Store            string
	VolumeSize       string // of the embedded store, such as 1Gi
	Mode             config.Mode
	RESTURL          string   // where people reach the REST API; empty: the Service
	TargetNamespaces []string // get a ServiceAccount flink, with the rights of a Flink job
}

// Defaults are two replicas, with the registry in the cluster and certificates of
// their own.
func Defaults() Options {
	return Options{Namespace: Namespace, Image: Image, Replicas: 2, Certs: SelfSigned, Store: Kubernetes, VolumeSize: "1Gi", Mode: config.Enforce}
}

// Version is that of what the manifests run: a release, whose tag they carry.
const Version = "0.1.0"

// Image is the one of Version.
const Image = "drey.dev/drey:" + Version

// complete fills in what follows from the rest, and refuses what cannot run.
func (o *Options) complete() error {
	switch {
	case len(validation.IsDNS1123Label(o.Namespace)) > 0:
		return fmt.Errorf("%q is no name of a namespace", o.Namespace)
	case strings.HasPrefix(o.Namespace, "kube-"):
		return fmt.Errorf("namespace %q is Kubernetes' own: give drey one of its own, such as %s", o.Namespace, Namespace)
	case o.Image == "":
		return errors.New("there is no image to run")
	case o.Certs != SelfSigned && o.Certs != CertManager:
		return fmt.Errorf("certificates are %q: use %s or %s", o.Certs, SelfSigned, CertManager)
	case o.Store != Kubernetes && o.Store != Embedded:
		return fmt.Errorf("the store is %q: use %s or %s", o.Store, Kubernetes, Embedded)
	case o.Replicas < 1:
		return fmt.Errorf("%d replicas serve nobody: use 2, or 1 with the embedded store", o.Replicas)
	case o.Store == Embedded && o.Replicas != 1:
		return fmt.Errorf("%d replicas cannot share the file of the embedded store: use 1, or the store %s", o.Replicas, Kubernetes)
	}
	if _, err := resource.ParseQuantity(o.VolumeSize); o.Store == Embedded && err != nil {
		return fmt.Errorf("the size of the volume is %q: use such as 1Gi", o.VolumeSize)
	}
	if _, err := config.ParseMode(string(o.Mode)); err != nil {
		return err
	}
	if o.RESTURL == "" {
		o.RESTURL = fmt.Sprintf("https://%s.%s.svc:%d", Name, o.Namespace, restPort)
	}
	return nil
}

// Stage is what is applied before the next one is.
type Stage struct {
	Name    string
	Objects []Object
}

// The stages, in order. What calls drey comes when drey answers.
const (
	Definitions = "definitions" // of custom resources, and the namespace
	Rights      = "rights"
	Server      = "server"
	Gates       = "admission" // webhook configurations and policies
)

// Stages are all objects, in the order in which they are to be applied. They are
// removed in reverse.
func Stages(o Options) ([]Stage, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	definitions, err := o.definitions()
	if err != nil {
		return nil, err
	}
	rights, err := o.rights()
	if err != nil {
		return nil, err
	}
	server, err := o.server()
	if err != nil {
		return nil, err
	}
	gates, err := o.gates()
	if err != nil {
		return nil, err
	}
	return []Stage{{Definitions, definitions}, {Rights, rights}, {Server, server}, {Gates, gates}}, nil
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

// definitions are those of the custom resources, even where the registry is in a
// file: so the store can be changed later on.
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

// labels are on everything that is drey's.
func labels() map[string]string { return map[string]string{"app.kubernetes.io/name": Name} }

func with(a, b map[string]string) map[string]string {
	maps.Copy(a, b)
	return a
}

// meta is that of an object in drey's namespace.
func (o *Options) meta() metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: o.Namespace, Name: Name, Labels: labels()}
}
