package cli

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"drey.dev/drey/certs"
	"drey.dev/drey/cmd/drey/cli/manifest"
	configv1alpha1 "drey.dev/drey/config/v1alpha1"
	"drey.dev/drey/manifests/bundle"
	"drey.dev/drey/manifests/doctor"
	"drey.dev/drey/registry"
	"drey.dev/drey/registry/kubestore"
	webhookconfig "drey.dev/drey/webhook/config"
)

func newDoctorCommand(version string) *cobra.Command {
	var kubectl kubectlCluster
	var namespace, format string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Diagnose an installation, and print the fixes",
		Long: `Check an installation with the rights of the user: all objects exist as this version
writes them, the configuration is valid, replicas are ready, a leader holds the Lease, the certificate is valid and
trusted, no other webhook keeps drey from starting, modes are valid, and target
namespaces are labeled. Nothing is changed.

The exit code is 1 if a check fails.`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if format != "table" && format != "json" {
				return &exitError{exitUsage, fmt.Errorf("-o is %q: use table or json", format)}
			}
			config, err := kubectl.config()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), time.Minute)
			defer cancel()
			facts, err := examine(ctx, config, namespace, version)
			if err != nil {
				return err
			}
			found := doctor.Diagnose(facts)
			if err := printFindings(cmd.OutOrStdout(), format, found); err != nil {
				return err
			}
			failed := 0
			for _, f := range found {
				if f.Level == doctor.Fail {
					failed++
				}
			}
			if failed > 0 {
				return fmt.Errorf("%d of %d checks failed", failed, len(found))
			}
			return nil
		},
	}
	f := cmd.Flags()
	kubectl.bind(f)
	f.StringVarP(&namespace, "namespace", "n", bundle.Namespace, "drey's own namespace")
	f.StringVarP(&format, "output", "o", "table", "table or json")
	return cmd
}

func printFindings(out io.Writer, format string, found []doctor.Finding) error {
	if format == "json" {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(map[string]any{"findings": found})
	}
	table := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	for _, f := range found {
		fmt.Fprintf(table, "%s\t%s\t%s\n", f.Level, f.Check, manifest.Printable(f.Message))
		if f.Fix != "" {
			fmt.Fprintf(table, "\t\t-> %s\n", manifest.Printable(f.Fix))
		}
	}
	return table.Flush()
}

// examine collects the facts of an installation. What the user cannot read is recorded
// in the facts, and no error.
func examine(ctx context.Context, config *rest.Config, namespace, version string) (doctor.Facts, error) {
	o := bundle.Defaults()
	o.Namespace = namespace
	f := doctor.Facts{Now: time.Now(), Version: version, Options: o, Live: map[string]*unstructured.Unstructured{}, ReadErrors: map[string]error{}, CheckErrors: map[string]error{}, Leases: map[string]doctor.Lease{}}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return f, err
	}
	objects, err := dynamic.NewForConfig(config)
	if err != nil {
		return f, err
	}
	server, err := client.AppsV1().Deployments(namespace).Get(ctx, bundle.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return f, nil
	}
	if err != nil {
		return f, fmt.Errorf("read the Deployment of drey: %w", err)
	}
	f.Ready, f.Desired = int64(server.Status.ReadyReplicas), int64(*server.Spec.Replicas)
	for _, c := range server.Spec.Template.Spec.Containers {
		f.Image = cmp.Or(f.Image, c.Image)
	}
	f.Options, f.Config, err = readConfig(ctx, client, o)
	if err != nil {
		f.CheckErrors["configuration"] = err
	}
	for _, c := range server.Spec.Template.Spec.Containers {
		f.Options = withArgs(f.Options, c.Args)
	}
	f.Options.Replicas, f.Options.Image = *server.Spec.Replicas, f.Image
	f.Options.ServiceAccount = cmp.Or(server.Spec.Template.Spec.ServiceAccountName, f.Options.ServiceAccount)
	if stages, err := bundle.Stages(f.Options); err == nil {
		for _, stage := range stages {
			f.Expected = append(f.Expected, stage.Objects...)
		}
	} else {
		return f, fmt.Errorf("read the options from the configuration and the Deployment's arguments: %w", err)
	}
	for _, o := range f.Expected {
		key := doctor.Key(o.GetKind(), o.GetNamespace(), o.GetName())
		live, err := objects.Resource(o.Resource()).Namespace(o.GetNamespace()).Get(ctx, o.GetName(), metav1.GetOptions{})
		switch {
		case err == nil:
			f.Live[key] = live
		case !apierrors.IsNotFound(err):
			f.ReadErrors[key] = err
		}
	}
	examineTargets(ctx, config, &f)
	examineServer(ctx, client, &f)
	examineOthers(ctx, client, &f)
	return f, nil
}

// readConfig returns the text of the configuration file, empty if there is none, and the
// options that it sets if it is valid.
func readConfig(ctx context.Context, client kubernetes.Interface, o bundle.Options) (bundle.Options, string, error) {
	config, err := client.CoreV1().ConfigMaps(o.Namespace).Get(ctx, bundle.Name, metav1.GetOptions{})
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

func examineServer(ctx context.Context, client kubernetes.Interface, f *doctor.Facts) {
	namespace := f.Options.Namespace
	endpoints, err := client.DiscoveryV1().EndpointSlices(namespace).List(ctx, metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=" + bundle.Name})
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
	leases, err := client.CoordinationV1().Leases(namespace).List(ctx, metav1.ListOptions{})
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
	secret, err := client.CoreV1().Secrets(namespace).Get(ctx, f.Secret, metav1.GetOptions{})
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

func examineOthers(ctx context.Context, client kubernetes.Interface, f *doctor.Facts) {
	namespaces, err := client.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
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
	mutating, err := client.AdmissionregistrationV1().MutatingWebhookConfigurations().List(ctx, metav1.ListOptions{})
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
	validating, err := client.AdmissionregistrationV1().ValidatingWebhookConfigurations().List(ctx, metav1.ListOptions{})
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
