package rollout

import (
	"errors"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"drey.dev/drey/manifests/bundle"
	"drey.dev/drey/webhook/config"
)

// TestCheck: each fact that would make an installation fail is an error with its remedy, and
// nothing is written.
func TestCheck(t *testing.T) {
	put := func(f *fakeCluster, key, kind string, change func(*unstructured.Unstructured)) {
		_, name, _ := strings.Cut(key, "/")
		o := &unstructured.Unstructured{Object: map[string]any{"kind": kind}}
		o.SetName(name[strings.IndexByte(name, '/')+1:])
		o.SetLabels(map[string]string{nameLabel: bundle.Name})
		change(o)
		f.objects[key] = o
	}
	webhooks := func(client map[string]any) func(*unstructured.Unstructured) {
		return func(o *unstructured.Unstructured) {
			o.Object["webhooks"] = []any{map[string]any{"clientConfig": client}}
		}
	}
	unchanged := func(*unstructured.Unstructured) {}
	const account = "serviceaccounts/drey-system/drey"
	annotated := func(annotations map[string]string) func(*fakeCluster, *bundle.Options) {
		return func(f *fakeCluster, _ *bundle.Options) {
			put(f, account, "ServiceAccount", func(o *unstructured.Unstructured) { o.SetAnnotations(annotations) })
		}
	}
	labeled := func(label string) func(*fakeCluster, *bundle.Options) {
		return func(f *fakeCluster, _ *bundle.Options) {
			put(f, account, "ServiceAccount", func(o *unstructured.Unstructured) {
				o.SetLabels(map[string]string{nameLabel: bundle.Name, label: "platform"})
			})
		}
	}
	helm := annotated(map[string]string{"meta.helm.sh/release-name": "drey", "meta.helm.sh/release-namespace": "infra"})
	for rule, c := range map[string]struct {
		given func(*fakeCluster, *bundle.Options)
		adopt bool
		want  string // a part of the error; empty: none
	}{
		"an empty cluster":    {func(*fakeCluster, *bundle.Options) {}, false, ""},
		"Kubernetes of today": {func(f *fakeCluster, _ *bundle.Options) { f.version = func() (string, error) { return "v1.37.2", nil } }, false, ""},
		"Kubernetes too old": {func(f *fakeCluster, _ *bundle.Options) {
			f.version = func() (string, error) { return "v1.29.9-eks-1", nil }
		}, false, "drey requires 1.30 or newer"},
		"version not readable": {func(f *fakeCluster, _ *bundle.Options) {
			f.version = func() (string, error) { return "", errors.New("timeout") }
		}, false, "read the version of the API server: timeout"},
		"target namespace missing": {func(_ *fakeCluster, o *bundle.Options) { o.TargetNamespaces = []string{"flink"} }, false, "kubectl create namespace flink"},
		"target namespace exists": {func(f *fakeCluster, o *bundle.Options) {
			o.TargetNamespaces = []string{"flink"}
			put(f, "namespaces//flink", "Namespace", unchanged)
		}, false, ""},
		"namespace terminating": {func(f *fakeCluster, _ *bundle.Options) {
			put(f, "namespaces//drey-system", "Namespace", func(o *unstructured.Unstructured) { o.SetDeletionTimestamp(new(metav1.Now())) })
		}, false, `namespace "drey-system" is terminating`},
		"cert-manager missing": {func(_ *fakeCluster, o *bundle.Options) { o.Certs = bundle.CertManager }, false, "cert-manager is not installed"},
		"cert-manager installed": {func(f *fakeCluster, o *bundle.Options) {
			o.Certs = bundle.CertManager
			put(f, "customresourcedefinitions//certificates.cert-manager.io", "CustomResourceDefinition", unchanged)
		}, false, ""},
		"a drey in another namespace": {func(f *fakeCluster, _ *bundle.Options) {
			put(f, "mutatingwebhookconfigurations//"+config.Name, "MutatingWebhookConfiguration", webhooks(map[string]any{"service": map[string]any{"namespace": "other"}}))
		}, false, `drey is installed in namespace "other"`},
		"a drey in this namespace": {func(f *fakeCluster, _ *bundle.Options) {
			put(f, "mutatingwebhookconfigurations//"+config.Name, "MutatingWebhookConfiguration", webhooks(map[string]any{"service": map[string]any{"namespace": "drey-system"}}))
		}, false, ""},
		"a drey outside the cluster": {func(f *fakeCluster, _ *bundle.Options) {
			put(f, "validatingwebhookconfigurations//"+config.Name, "ValidatingWebhookConfiguration", webhooks(map[string]any{"url": "https://192.0.2.1:9443/validate/workloads"}))
		}, false, "at https://192.0.2.1:9443: stop it"},
		"an object without drey's label": {func(f *fakeCluster, _ *bundle.Options) {
			put(f, account, "ServiceAccount", func(o *unstructured.Unstructured) { o.SetLabels(nil) })
		}, true, "lacks the label"},
		"an object of drey":                   {annotated(nil), false, ""},
		"an object of a Helm release":         {helm, false, `the Helm release "drey" in namespace "infra"`},
		"adopted from a Helm release":         {helm, true, ""},
		"an object of an Argo CD application": {annotated(map[string]string{"argocd.argoproj.io/tracking-id": "drey:/ServiceAccount:drey-system/drey"}), false, `the Argo CD application "drey"`},
		"an object of a Flux Kustomization":   {labeled("kustomize.toolkit.fluxcd.io/name"), false, `the Flux Kustomization "platform"`},
		"an object of a Flux HelmRelease":     {labeled("helm.toolkit.fluxcd.io/name"), false, `the Flux HelmRelease "platform"`},
	} {
		t.Run(rule, func(t *testing.T) {
			f, o := newFakeCluster(false), bundle.Defaults()
			c.given(f, &o)
			stages, err := bundle.Stages(o)
			if err != nil {
				t.Fatal(err)
			}
			err = f.Check(t.Context(), o, stages, c.adopt)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if len(f.writes) > 0 {
				t.Errorf("the check wrote %v", f.writes)
			}
		})
	}
	if got := Manager(nil); got != "" {
		t.Errorf("manager of no object: got %q", got)
	}
}

func TestAPIServerPorts(t *testing.T) {
	f := newFakeCluster(false)
	slice := func(name string, ports ...any) *unstructured.Unstructured {
		o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice"}}
		o.SetName(name)
		o.SetNamespace(metav1.NamespaceDefault)
		o.SetLabels(map[string]string{"kubernetes.io/service-name": "kubernetes"})
		for _, p := range ports {
			list, _, _ := unstructured.NestedSlice(o.Object, "ports")
			o.Object["ports"] = append(list, map[string]any{"name": "https", "port": p})
		}
		return o
	}
	for _, o := range []*unstructured.Unstructured{slice("a", int64(6443)), slice("b", int64(6443), int64(443))} {
		if err := f.client.Tracker().Create(schema.GroupVersionResource{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"}, o, metav1.NamespaceDefault); err != nil {
			t.Fatal(err)
		}
	}
	f.client.ReactionChain = f.client.ReactionChain[1:] // the tracker lists
	if got, err := f.APIServerPorts(t.Context()); err != nil || !slices.Equal(got, []int32{443, 6443}) {
		t.Errorf("got %v, %v", got, err)
	}
}
