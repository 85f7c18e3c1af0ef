package installation

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"drey.dev/drey/certs"
	"drey.dev/drey/cmd/drey/cli/kubectl"
	"drey.dev/drey/cmd/drey/cli/output"
	configv1alpha1 "drey.dev/drey/config/v1alpha1"
	"drey.dev/drey/manifests/bundle"
	"drey.dev/drey/manifests/doctor"
	"drey.dev/drey/manifests/readiness"
	"drey.dev/drey/manifests/rollout"
	"drey.dev/drey/registry"
	"drey.dev/drey/registry/kubestore"
	webhookconfig "drey.dev/drey/webhook/config"
)

// readFacts examines the cluster of kubectl's context, and shows that it does.
func readFacts(cmd *cobra.Command, k kubectl.Cluster, namespace, version string) (doctor.Facts, error) {
	config, err := k.Config()
	if err != nil {
		return doctor.Facts{}, err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), time.Minute)
	defer cancel()
	defer output.Stderr(cmd).Progress("Reading the cluster at " + config.Host)()
	return examine(ctx, config, namespace, version)
}

// examine collects the facts of an installation. What the user cannot read is recorded
// in the facts, and no error.
func examine(ctx context.Context, config *rest.Config, namespace, version string) (doctor.Facts, error) {
	o := bundle.Defaults()
	o.Namespace = namespace
	f := doctor.Facts{Now: time.Now(), Version: version, Options: o, Live: map[string]*unstructured.Unstructured{}, ReadErrors: map[string]error{}, CheckErrors: map[string]error{}, Leases: map[string]doctor.Lease{}}
	config = rest.CopyConfig(config)
	config.QPS, config.Burst = 50, 100
	client, err := newClients(config)
	if err != nil {
		return f, err
	}
	objects, err := dynamic.NewForConfig(config)
	if err != nil {
		return f, err
	}
	server, err := client.apps.Deployments(namespace).Get(ctx, bundle.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		examineOutside(ctx, config, client, &f)
		return f, nil
	}
	if err != nil {
		return f, fmt.Errorf("read the Deployment of drey: %w", err)
	}
	f.Ready, f.Desired = int64(server.Status.ReadyReplicas), int64(*server.Spec.Replicas)
	f.Manager = managerOf(server)
	container := serverContainer(server)
	f.Image = container.Image
	pods, err := client.core.Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: metav1.FormatLabelSelector(server.Spec.Selector)})
	if err != nil {
		pods = &corev1.PodList{}
	}
	f.Obstacles = readiness.Obstacles(server, pods.Items)
	f.Options, f.Config, err = readConfig(ctx, client, o)
	if err != nil {
		f.CheckErrors["configuration"] = err
	}
	f.Options = withArgs(f.Options, container.Args)
	f.Options.Image = f.Image
	f.Options.Tolerations = server.Spec.Template.Spec.Tolerations
	f.Options.NodeSelector = maps.Clone(server.Spec.Template.Spec.NodeSelector)
	delete(f.Options.NodeSelector, corev1.LabelOSStable)
	f.Options.ServiceAccount = cmp.Or(server.Spec.Template.Spec.ServiceAccountName, f.Options.ServiceAccount)
	if replicas := *server.Spec.Replicas; replicas > 0 || f.Options.Store == bundle.Embedded {
		f.Options.Replicas = max(replicas, 1)
	}
	if stages, err := bundle.Stages(f.Options); err == nil {
		for _, stage := range stages {
			f.Expected = append(f.Expected, stage.Objects...)
		}
	} else {
		return f, fmt.Errorf("read the options from the configuration and the Deployment's arguments: %w", err)
	}
	examineObjects(ctx, objects, &f, f.Expected)
	examineObsolete(ctx, client, &f)
	f.Options.AggregateTo = slices.DeleteFunc(f.Options.AggregateTo, func(role string) bool {
		live := f.Live[doctor.Key("ClusterRole", "", bundle.Name+"-"+role)]
		return live != nil && live.GetLabels()[bundle.AggregationLabel(role)] != "true"
	})
	examineTargets(ctx, config, &f)
	examineServer(ctx, client, &f)
	examineOthers(ctx, client, &f)
	return f, nil
}

// examineObjects reads the live state of objects.
func examineObjects(ctx context.Context, client dynamic.Interface, f *doctor.Facts, expected []bundle.Object) {
	for _, o := range expected {
		key := doctor.Key(o.GetKind(), o.GetNamespace(), o.GetName())
		live, err := client.Resource(o.Resource()).Namespace(o.GetNamespace()).Get(ctx, o.GetName(), metav1.GetOptions{})
		switch {
		case err == nil:
			f.Live[key] = live
		case !apierrors.IsNotFound(err):
			f.ReadErrors[key] = err
		}
	}
}

// examineObsolete lists the policies that another version of drey has left.
func examineObsolete(ctx context.Context, client *clients, f *doctor.Facts) {
	policies, err := client.admission.ValidatingAdmissionPolicies().List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=" + bundle.Name})
	if err != nil {
		return // the check objects reports what cannot be read
	}
	for _, p := range policies.Items {
		if !slices.ContainsFunc(f.Expected, func(o bundle.Object) bool { return o.GetKind() == "ValidatingAdmissionPolicy" && o.GetName() == p.Name }) {
			f.Obsolete = append(f.Obsolete, "validatingadmissionpolicy/"+p.Name)
		}
	}
}

// serverContainer returns the container of drey, which others may stand beside.
func serverContainer(d *appsv1.Deployment) corev1.Container {
	all := d.Spec.Template.Spec.Containers
	at := slices.IndexFunc(all, func(c corev1.Container) bool { return c.Name == bundle.Name })
	return all[max(at, 0)]
}

// managerOf returns the tool that manages drey's Deployment, empty if there is none.
func managerOf(d *appsv1.Deployment) string {
	u := &unstructured.Unstructured{Object: map[string]any{}}
	u.SetLabels(d.Labels)
	u.SetAnnotations(d.Annotations)
	return rollout.Manager(u)
}

// examineOutside collects the facts of a cluster without drey's Deployment: what is left of an
// installation, and a drey outside the cluster.
func examineOutside(ctx context.Context, config *rest.Config, client *clients, f *doctor.Facts) {
	objects, err := dynamic.NewForConfig(config)
	if err != nil {
		return // client has the same configuration
	}
	o := f.Options
	o.Mode = webhookconfig.Warn // has all bindings
	stages, err := bundle.Stages(o)
	if err != nil {
		f.CheckErrors["server"] = err
		return
	}
	for _, stage := range stages {
		if stage.Name == bundle.Admission || stage.Name == bundle.Definitions {
			examineObjects(ctx, objects, f, stage.Objects)
		}
	}
	var address string
	var caBundle []byte
	for _, kind := range []string{"ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"} {
		configuration := f.Live[doctor.Key(kind, "", webhookconfig.Name)]
		if configuration == nil {
			continue
		}
		if address == "" {
			_, address = rollout.Server(configuration)
		}
		if len(caBundle) == 0 {
			caBundle = rollout.CABundle(configuration)
		}
	}
	if address == "" {
		return
	}
	f.Outside = &doctor.Outside{URL: address, Err: dialWebhooks(ctx, address, caBundle)}
	if err := f.ExpectOutside(); err != nil {
		f.CheckErrors["server"] = err
		return
	}
	examineTargets(ctx, config, f)
	examineOthers(ctx, client, f)
}

// dialTimeout bounds the connection to a drey outside the cluster.
const dialTimeout = 5 * time.Second

// dialWebhooks connects by TLS to a drey outside the cluster, as the API server does.
func dialWebhooks(ctx context.Context, address string, caBundle []byte) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(caBundle) // without one no certificate is trusted
	dialer := tls.Dialer{Config: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	connection, err := dialer.DialContext(ctx, "tcp", strings.TrimPrefix(address, "https://"))
	if err != nil {
		return err
	}
	return connection.Close()
}

// readConfig returns the text of the configuration file, empty if there is none, and the
// options that it sets if it is valid.
func readConfig(ctx context.Context, client *clients, o bundle.Options) (bundle.Options, string, error) {
	config, err := client.core.ConfigMaps(o.Namespace).Get(ctx, bundle.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return o, "", nil
	}
	if err != nil {
		return o, "", err
	}
	text := config.Data[bundle.ConfigKey]
	if c, err := configv1alpha1.Parse([]byte(text)); err == nil {
		o = o.WithConfig(c)
	}
	return o, text, nil
}

// withArgs returns the options with those that the arguments of a container set: they
// override the configuration file, which installations before it lack.
func withArgs(o bundle.Options, args []string) bundle.Options {
	for _, arg := range args {
		name, value, _ := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
		switch name {
		case "certs":
			o.Certs = value
		case "store":
			o.Store = value
		case "mode":
			o.Mode = webhookconfig.Mode(value)
		case "rest-url":
			o.RESTURL = value
		}
	}
	return o
}

func examineServer(ctx context.Context, client *clients, f *doctor.Facts) {
	namespace := f.Options.Namespace
	endpoints, err := client.discovery.EndpointSlices(namespace).List(ctx, metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=" + bundle.Name})
	if err != nil {
		f.CheckErrors["server"] = err
		endpoints = &discoveryv1.EndpointSliceList{}
	}
	for _, s := range endpoints.Items {
		for _, e := range s.Endpoints {
			if e.Conditions.Ready == nil || *e.Conditions.Ready {
				f.Endpoints++
			}
		}
	}
	if own, err := client.discovery.EndpointSlices(metav1.NamespaceDefault).List(ctx, metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=kubernetes"}); err == nil {
		for _, s := range own.Items {
			for _, p := range s.Ports {
				if p.Port != nil && !slices.Contains(f.APIServerPorts, *p.Port) {
					f.APIServerPorts = append(f.APIServerPorts, *p.Port)
				}
			}
		}
	}
	leases, err := client.coordination.Leases(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		f.CheckErrors["leader"] = err
		leases = &coordinationv1.LeaseList{}
	}
	for _, l := range leases.Items {
		if l.Spec.RenewTime != nil && l.Spec.LeaseDurationSeconds != nil && cmp.Or(deref(l.Spec.HolderIdentity), "") != "" {
			f.Leases[l.Name] = doctor.Lease{RenewTime: l.Spec.RenewTime.Time, Duration: time.Duration(*l.Spec.LeaseDurationSeconds) * time.Second}
		}
	}
	f.Secret = certs.SecretName
	if f.Options.Certs == bundle.CertManager {
		f.Secret = certs.ServingName
	}
	secret, err := client.core.Secrets(namespace).Get(ctx, f.Secret, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return
	case err != nil:
		f.SecretError = err
		return
	case f.Secret == certs.SecretName && secret.Labels[certs.ManagedByLabel] != certs.Owner:
		f.SecretForeign = true
		return
	}
	if chain := parseCertificates(secret.Data["tls.crt"]); len(chain) > 0 {
		f.Leaf, f.CA = chain[0], parseCertificates(secret.Data["ca.crt"])
	}
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func parseCertificates(text []byte) (all []*x509.Certificate) {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return all
		}
		if c, err := x509.ParseCertificate(block.Bytes); err == nil {
			all = append(all, c)
		}
	}
}

func examineOthers(ctx context.Context, client *clients, f *doctor.Facts) {
	namespaces, err := client.core.Namespaces().List(ctx, metav1.ListOptions{})
	if err != nil {
		f.CheckErrors["deadlock"], f.CheckErrors["modes"], f.CheckErrors["targets"] = err, err, err
		return
	}
	f.Namespaces = map[string]map[string]string{}
	for _, n := range namespaces.Items {
		f.Namespaces[n.Name] = n.Labels
	}
	ownLabels := labels.Set(f.Namespaces[f.Options.Namespace])
	add := func(configuration, name string, policy *admissionregistrationv1.FailurePolicyType, selector *metav1.LabelSelector, rules []admissionregistrationv1.RuleWithOperations) {
		s, err := metav1.LabelSelectorAsSelector(selector)
		f.Webhooks = append(f.Webhooks, doctor.Webhook{
			Configuration: configuration, Name: name, FailsClosed: policy == nil || *policy == admissionregistrationv1.Fail,
			MatchesPods: slices.ContainsFunc(rules, matchesPodCreation), MatchesOwnNamespace: selector == nil || err == nil && s.Matches(ownLabels),
		})
	}
	mutating, err := client.admission.MutatingWebhookConfigurations().List(ctx, metav1.ListOptions{})
	if err != nil {
		f.CheckErrors["deadlock"] = err
		return
	}
	for _, c := range mutating.Items {
		for _, w := range c.Webhooks {
			if c.Name != webhookconfig.Name {
				add("mutatingwebhookconfiguration/"+c.Name, w.Name, w.FailurePolicy, w.NamespaceSelector, w.Rules)
			}
		}
	}
	validating, err := client.admission.ValidatingWebhookConfigurations().List(ctx, metav1.ListOptions{})
	if err != nil {
		f.CheckErrors["deadlock"] = err
		return
	}
	for _, c := range validating.Items {
		for _, w := range c.Webhooks {
			if c.Name != webhookconfig.Name {
				add("validatingwebhookconfiguration/"+c.Name, w.Name, w.FailurePolicy, w.NamespaceSelector, w.Rules)
			}
		}
	}
}

// matchesPodCreation reports whether a rule matches the creation of pods.
func matchesPodCreation(r admissionregistrationv1.RuleWithOperations) bool {
	has := func(list []string, wanted ...string) bool {
		return slices.ContainsFunc(list, func(s string) bool { return slices.Contains(wanted, s) })
	}
	return has(r.APIGroups, "", "*") && has(r.Resources, "pods", "*", "*/*") &&
		slices.ContainsFunc(r.Operations, func(o admissionregistrationv1.OperationType) bool {
			return o == admissionregistrationv1.Create || o == admissionregistrationv1.OperationAll
		})
}

func examineTargets(ctx context.Context, config *rest.Config, f *doctor.Facts) {
	if f.Options.Store == bundle.Embedded {
		f.TargetsError = errors.New("with the embedded store, drey targets list shows them")
		return
	}
	all, err := kubestore.ListObjects(ctx, config, "")
	if err != nil {
		f.TargetsError = err
		return
	}
	for _, o := range all {
		if o.Kind == registry.DeploymentTarget {
			f.Targets = append(f.Targets, doctor.Target{Platform: o.Metadata.Namespace, Name: o.Metadata.Name, Namespace: registry.TargetNamespace(o, f.Options.Namespace)})
		}
	}
}
