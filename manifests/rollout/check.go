package rollout

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/version"

	"drey.dev/drey/manifests/bundle"
	"drey.dev/drey/webhook/config"
)

// oldestKubernetes is the oldest version of Kubernetes that has all that the objects need.
const oldestKubernetes = "1.30"

// Check returns an error for each fact of the cluster that makes Apply fail, or makes it take
// over the objects of another installation. It changes nothing. adopt allows objects that
// Helm, Argo CD or Flux manages.
func (r *Rollout) Check(ctx context.Context, o bundle.Options, stages []bundle.Stage, adopt bool) error {
	errs := []error{r.checkVersion(), r.checkNamespaces(ctx, o), r.checkCertManager(ctx, o), r.checkOtherInstallation(ctx, o)}
	managed := map[string][]string{} // objects by manager
	for _, stage := range stages {
		for _, object := range stage.Objects {
			if object.GetKind() == "CustomResourceDefinition" || object.GetKind() == "Namespace" { // a removed release keeps them; a namespace may be of others
				continue
			}
			found, err := r.find(ctx, object)
			switch by := Manager(found); {
			case err != nil:
				errs = append(errs, err)
			case found != nil && !isOwned(found):
				errs = append(errs, errForeign(object))
			case by != "" && !adopt:
				managed[by] = append(managed[by], object.String())
			}
		}
	}
	for _, by := range slices.Sorted(maps.Keys(managed)) {
		all := managed[by]
		names := all[0] + " belongs"
		if len(all) > 1 {
			names = fmt.Sprintf("%s and %d more belong", all[0], len(all)-1)
		}
		errs = append(errs, fmt.Errorf("%s to %s: change it there, or remove it first; or take the objects over with --adopt", names, by))
	}
	return errors.Join(errs...)
}

// Manager returns the tool that manages an object and would revert changes of others, empty if
// there is none.
func Manager(o *unstructured.Unstructured) string {
	if o == nil {
		return ""
	}
	labels, annotations := o.GetLabels(), o.GetAnnotations()
	switch release, application := annotations["meta.helm.sh/release-name"], annotations["argocd.argoproj.io/tracking-id"]; {
	case application != "":
		name, _, _ := strings.Cut(application, ":")
		return fmt.Sprintf("the Argo CD application %q", name)
	case labels["kustomize.toolkit.fluxcd.io/name"] != "":
		return fmt.Sprintf("the Flux Kustomization %q", labels["kustomize.toolkit.fluxcd.io/name"])
	case labels["helm.toolkit.fluxcd.io/name"] != "":
		return fmt.Sprintf("the Flux HelmRelease %q", labels["helm.toolkit.fluxcd.io/name"])
	case release != "":
		return fmt.Sprintf("the Helm release %q in namespace %q", release, annotations["meta.helm.sh/release-namespace"])
	}
	return ""
}

func (r *Rollout) checkVersion() error {
	if r.version == nil {
		return nil
	}
	running, err := r.version()
	if err != nil {
		return fmt.Errorf("read the version of the API server: %w", err)
	}
	v, err := version.ParseGeneric(running)
	if err == nil && v.LessThan(version.MustParseGeneric(oldestKubernetes)) {
		return fmt.Errorf("the cluster runs Kubernetes %s: drey requires %s or newer; upgrade the cluster", running, oldestKubernetes)
	}
	return nil
}

func (r *Rollout) checkNamespaces(ctx context.Context, o bundle.Options) error {
	var errs []error
	namespaces := r.client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "namespaces"})
	for _, name := range append([]string{o.Namespace}, o.TargetNamespaces...) {
		found, err := namespaces.Get(ctx, name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err) && name == o.Namespace:
		case apierrors.IsNotFound(err):
			errs = append(errs, fmt.Errorf("target namespace %q does not exist: kubectl create namespace %s", name, name))
		case err != nil:
			errs = append(errs, fmt.Errorf("read namespace %q: %w", name, err))
		case found.GetDeletionTimestamp() != nil:
			errs = append(errs, fmt.Errorf("namespace %q is terminating, so nothing can be created in it: wait until it is deleted; if it stays: kubectl get namespace %s -o yaml shows the finalizers", name, name))
		}
	}
	return errors.Join(errs...)
}

func (r *Rollout) checkCertManager(ctx context.Context, o bundle.Options) error {
	if o.Certs != bundle.CertManager {
		return nil
	}
	crds := r.client.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	_, err := crds.Get(ctx, "certificates.cert-manager.io", metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return fmt.Errorf("cert-manager is not installed: the cluster has no certificates.cert-manager.io; install cert-manager first, or use --certs %s", bundle.SelfSigned)
	case err != nil:
		return fmt.Errorf("read the CustomResourceDefinition of cert-manager: %w", err)
	}
	return nil
}

// checkOtherInstallation returns an error if drey's webhooks call another drey: one in another
// namespace, or one outside the cluster.
func (r *Rollout) checkOtherInstallation(ctx context.Context, o bundle.Options) error {
	for _, resource := range []string{"validatingwebhookconfigurations", "mutatingwebhookconfigurations"} {
		found, err := r.client.Resource(schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: resource}).Get(ctx, config.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) || err == nil && !isOwned(found) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read the %s: %w", resource, err)
		}
		switch namespace, url := Server(found); {
		case url != "":
			return fmt.Errorf("the webhooks call a drey outside the cluster, at %s: stop it, and run drey uninstall --admission-only first; until drey install ends, Flink is neither denied nor labeled", url)
		case namespace != "" && namespace != o.Namespace:
			return fmt.Errorf("drey is installed in namespace %q: its webhooks and roles are cluster-wide, and one drey at a time can have them; install with -n %s, or run drey uninstall -n %s first, which keeps the registry", namespace, namespace, namespace)
		}
	}
	return nil
}

// Server returns the drey that a webhook configuration calls: the namespace of its Service, or
// its base URL. Both are empty if the configuration has no webhook.
func Server(configuration *unstructured.Unstructured) (namespace, url string) {
	webhooks, _, _ := unstructured.NestedSlice(configuration.Object, "webhooks")
	for _, w := range webhooks {
		webhook, _ := w.(map[string]any)
		namespace, _, _ = unstructured.NestedString(webhook, "clientConfig", "service", "namespace")
		url, _, _ = unstructured.NestedString(webhook, "clientConfig", "url")
		if url != "" {
			scheme, rest, _ := strings.Cut(url, "://")
			host, _, _ := strings.Cut(rest, "/")
			url = scheme + "://" + host
		}
		if namespace != "" || url != "" {
			return namespace, url
		}
	}
	return "", ""
}

// CABundle returns the first caBundle of the webhooks of a configuration, nil if there is none.
func CABundle(configuration *unstructured.Unstructured) []byte {
	webhooks, _, _ := unstructured.NestedSlice(configuration.Object, "webhooks")
	for _, w := range webhooks {
		webhook, _ := w.(map[string]any)
		text, _, _ := unstructured.NestedString(webhook, "clientConfig", "caBundle")
		if bundle, _ := base64.StdEncoding.DecodeString(text); len(bundle) > 0 { // invalid base64 is none
			return bundle
		}
	}
	return nil
}

// APIServerPorts returns the ports of the API server's endpoints, which NetworkPolicies apply
// to.
func (r *Rollout) APIServerPorts(ctx context.Context) ([]int32, error) {
	slicesOf := r.client.Resource(schema.GroupVersionResource{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"}).Namespace(metav1.NamespaceDefault)
	list, err := slicesOf.List(ctx, metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=kubernetes"})
	if err != nil {
		return nil, fmt.Errorf("read the endpoints of the API server: %w", err)
	}
	var all []int32
	for _, s := range list.Items {
		ports, _, _ := unstructured.NestedSlice(s.Object, "ports")
		for _, p := range ports {
			port, _ := p.(map[string]any)
			number, ok, _ := unstructured.NestedInt64(port, "port")
			if ok && number > 0 && number <= math.MaxUint16 && !slices.Contains(all, int32(number)) {
				all = append(all, int32(number))
			}
		}
	}
	slices.Sort(all)
	return all, nil
}
