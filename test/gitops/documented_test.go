package gitops

import (
	"slices"
	"strings"
	"testing"

	synccommon "github.com/argoproj/argo-cd/gitops-engine/pkg/sync/common"
	argocd "github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/itchyny/gojq"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"drey.dev/drey/test/framework/page"
)

// root is the root of the repository.
const root = "../.."

// chartLayer is the media type of the chart in the OCI artifact of a release.
const chartLayer = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"

// documented returns the blocks of the pages that name the test.
func documented(t *testing.T, test string) map[string]string {
	t.Helper()
	blocks, err := page.CheckedBy(root, test)
	if err != nil {
		t.Fatal(err)
	}
	return blocks
}

// TestDocumentedFlux decodes objects with the types of Flux's controllers. The references among
// them resolve, and drift detection is on.
func TestDocumentedFlux(t *testing.T) {
	kustomizations, repositories := map[string]kustomizev1.Kustomization{}, map[string]bool{}
	var releases []helmv2.HelmRelease
	for path, text := range documented(t, t.Name()) {
		for document := range strings.SplitSeq(text, "---\n") {
			var kind metav1.TypeMeta
			if err := yaml.Unmarshal([]byte(document), &kind); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			var err error
			switch kind.GroupVersionKind() {
			case kustomizev1.GroupVersion.WithKind(kustomizev1.KustomizationKind):
				var k kustomizev1.Kustomization
				err = page.Decode(document, &k)
				kustomizations[k.Name] = k
			case helmv2.GroupVersion.WithKind(helmv2.HelmReleaseKind):
				var r helmv2.HelmRelease
				err = page.Decode(document, &r)
				releases = append(releases, r)
			case sourcev1.GroupVersion.WithKind(sourcev1.OCIRepositoryKind):
				var r sourcev1.OCIRepository
				err = page.Decode(document, &r)
				repositories[r.Kind+"/"+r.Namespace+"/"+r.Name] = true
				if got := *r.Spec.LayerSelector; got != (sourcev1.OCILayerSelector{MediaType: chartLayer, Operation: sourcev1.OCILayerCopy}) {
					t.Errorf("%s: got the layer selector %+v, want a copy of %s", path, got, chartLayer)
				}
			default:
				t.Errorf("%s: got the kind %v, want one of Flux", path, kind)
			}
			if err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
	if len(kustomizations) != 2 || len(releases) != 1 {
		t.Fatalf("got %d Kustomizations and %d HelmReleases, want 2 and 1", len(kustomizations), len(releases))
	}
	for name, k := range kustomizations {
		for _, d := range k.Spec.DependsOn {
			if !kustomizations[d.Name].Spec.Wait {
				t.Errorf("Kustomization %s depends on %s, which does not wait", name, d.Name)
			}
		}
	}
	for _, r := range releases {
		if ref := r.Spec.ChartRef; ref == nil || !repositories[ref.Kind+"/"+r.Namespace+"/"+ref.Name] {
			t.Errorf("HelmRelease %s: chartRef: got %+v, want one of %v", r.Name, ref, repositories)
		}
		if mode := r.GetDriftDetection().GetMode(); mode != helmv2.DriftDetectionEnabled {
			t.Errorf("HelmRelease %s: drift detection: got %q, want %q", r.Name, mode, helmv2.DriftDetectionEnabled)
		}
	}
}

// TestDocumentedAppProject: projects with the documented field do not permit targets.
func TestDocumentedAppProject(t *testing.T) {
	for path, text := range documented(t, t.Name()) {
		var spec argocd.AppProjectSpec
		if err := page.Decode(text, &spec); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		project := argocd.AppProject{Spec: spec}
		for kind, want := range map[schema.GroupKind]bool{
			{Group: "drey.dev", Kind: "DeploymentTarget"}: false,
			{Group: "apps", Kind: "Deployment"}:           true,
		} {
			if got := project.IsGroupKindNamePermitted(kind, "orders", true); got != want {
				t.Errorf("%s: %s permitted: got %t, want %t", path, kind, got, want)
			}
		}
	}
}

// TestDocumentedApplication: the ignored differences are the fields of the webhook configurations
// that drey writes, and the synchronization options exist.
func TestDocumentedApplication(t *testing.T) {
	w := sharedWorld(t)
	for path, text := range documented(t, t.Name()) {
		var spec argocd.ApplicationSpec
		if err := page.Decode(text, &spec); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for _, option := range spec.SyncPolicy.SyncOptions {
			if !slices.Contains([]string{synccommon.SyncOptionServerSideApply, "RespectIgnoreDifferences=true"}, option) {
				t.Errorf("%s: unknown option %s", path, option)
			}
		}
		if len(spec.IgnoreDifferences) != 2 {
			t.Errorf("%s: got %d kinds with ignored differences, want 2", path, len(spec.IgnoreDifferences))
		}
		for _, d := range spec.IgnoreDifferences {
			o := &unstructured.Unstructured{}
			o.SetGroupVersionKind(schema.GroupVersionKind{Group: d.Group, Version: "v1", Kind: d.Kind})
			if err := w.client.Get(t.Context(), client.ObjectKey{Name: d.Name}, o); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			for _, expression := range d.JQPathExpressions {
				o.Object = deletePath(t, o.Object, expression)
			}
			webhooks, _, err := unstructured.NestedSlice(o.Object, "webhooks")
			if err != nil || len(webhooks) == 0 {
				t.Fatalf("%s %s: got %d webhooks, %v", d.Kind, d.Name, len(webhooks), err)
			}
			for _, webhook := range webhooks {
				if _, found, _ := unstructured.NestedString(webhook.(map[string]any), "clientConfig", "caBundle"); found {
					t.Errorf("%s: %s %s: the expressions leave a caBundle", path, d.Kind, d.Name)
				}
				if _, found, _ := unstructured.NestedString(webhook.(map[string]any), "clientConfig", "service", "path"); found {
					t.Errorf("%s: %s %s: the expressions leave a path", path, d.Kind, d.Name)
				}
			}
		}
	}
}

// deletePath deletes what a path expression selects, as Argo CD does before it compares objects.
func deletePath(t *testing.T, object map[string]any, expression string) map[string]any {
	t.Helper()
	query, err := gojq.Parse("del(" + expression + ")")
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	value, ok := query.Run(object).Next()
	if err, failed := value.(error); !ok || failed {
		t.Fatalf("%s: %v", expression, err)
	}
	return value.(map[string]any)
}
