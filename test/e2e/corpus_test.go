package e2e

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"

	"drey.dev/drey/registry"
	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/webhook/flink"
)

// corpora are folders with manifests, and CRDs with the schemas of their fields. The one of Flink's
// operator is beside this repository, and has the files that their project publishes.
var corpora = map[string]string{"own": "testdata/corpus", "Flink's operator": "../../../shared/corpus"}

// TestCorpus creates manifests for Flink's operator with CRDs that prune unknown fields. In a
// registered namespace they are allowed and labeled, and their specs are unchanged; in another they
// are denied, and the denial names the remedy.
func TestCorpus(t *testing.T) {
	t.Parallel()
	for name, corpus := range corpora {
		t.Run(name, func(t *testing.T) {
			if _, err := os.Stat(corpus); err != nil && name != "own" {
				t.Skip("no folder " + corpus + " with the manifests and CRDs of Flink's operator")
			}
			createCorpus(t, corpus)
		})
	}
}

func createCorpus(t *testing.T, corpus string) {
	t.Helper()
	manifests := readCorpus(t, corpus)
	w := corpusWorld(t, corpus)
	registered, unregistered, excluded := w.Namespace(t), w.Namespace(t), "kube-public"
	w.register(t, "team-a", registered)
	for name, manifest := range manifests {
		t.Run(name, func(t *testing.T) {
			plain, err := w.create(t.Context(), excluded, deepCopy(t, manifest))
			if err != nil {
				t.Fatalf("in a namespace that drey excludes: %v", err)
			}
			created, err := w.create(t.Context(), registered, deepCopy(t, manifest))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(plain.Object["spec"], created.Object["spec"]); diff != "" {
				t.Errorf("spec (-want +got):\n%s", diff)
			}
			if want := corpusLabels(manifest); !maps.Equal(created.GetLabels(), want) {
				t.Errorf("labels: got %v\nwant %v", created.GetLabels(), want)
			}
			if !maps.Equal(created.GetAnnotations(), plain.GetAnnotations()) || created.GetGeneration() != plain.GetGeneration() {
				t.Errorf("metadata: got %v, want %v", created.Object["metadata"], plain.Object["metadata"])
			}

			_, err = w.create(t.Context(), unregistered, deepCopy(t, manifest))
			if err == nil {
				t.Fatal("allowed in a namespace without a target")
			}
			for _, want := range []string{`namespace "` + unregistered + `" has no DeploymentTarget`, "curl -X POST " + w.drey.REST} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("denial: got %v, want it to contain %q", err, want)
				}
			}
		})
	}
	var want []string // no references by pods: no operator runs
	for _, c := range flink.CustomResources {
		if c.Group != "flink.apache.org" {
			continue
		}
		for _, o := range w.list(t, c.Kind, registered) {
			want = append(want, c.Kind+"/"+o.GetName()+" in "+registered)
		}
	}
	if got := w.references(t, "team-a", registered); len(got) == 0 || !slices.Equal(got, want) {
		t.Errorf("references of the target: got %v, want %v", got, want)
	}
	w.checkDeletionRefused(t, "team-a", registered, "FlinkDeployment")
}

// corpusLabels returns the labels of a manifest after admission. A spec with a job is an
// application, one without is a session cluster.
func corpusLabels(manifest map[string]any) map[string]string {
	u := &unstructured.Unstructured{Object: manifest}
	labels := map[string]string{"system": "ververica-platform", "vvpNamespace": "team-a"}
	maps.Copy(labels, u.GetLabels())
	_, hasJob, _ := unstructured.NestedMap(manifest, "spec", "job")
	switch {
	case u.GetKind() == "FlinkSessionJob":
	case hasJob:
		labels["app"], labels["drey.dev/app"], labels["deploymentName"] = "flink-job", "flink-job", registry.LabelValue(u.GetName())
	default:
		labels["app"], labels["drey.dev/app"], labels["sessionClusterName"] = "flink-session-cluster", "flink-session-cluster", registry.LabelValue(u.GetName())
	}
	return labels
}

// readCorpus returns the objects of a corpus by file and name.
func readCorpus(t *testing.T, corpus string) map[string]map[string]any {
	t.Helper()
	all := map[string]map[string]any{}
	err := filepath.WalkDir(corpus, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".yaml" {
			return err
		}
		for _, o := range readManifestFile(t, path) {
			all[strings.TrimPrefix(path, corpus+"/")+"/"+o.GetName()] = o.Object
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatalf("no manifests in %s", corpus)
	}
	return all
}

// corpusWorld returns a world with the CRDs of a corpus. Its control plane is not one of
// [ownCluster], whose CRDs have the same names.
func corpusWorld(t *testing.T, corpus string) *world {
	t.Helper()
	c := cluster.Start(t)
	api, err := dynamic.NewForConfig(c.Config())
	if err != nil {
		t.Fatal(err)
	}
	paths, err := filepath.Glob(corpus + "/crds/*")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no CRDs in %s: %v", corpus, err)
	}
	for _, path := range paths {
		for _, crd := range readManifestFile(t, path) {
			if err := cluster.InstallCRD(t.Context(), api, crd.Object); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
		}
	}
	w, err := newWorld(t.Context(), c, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w.stopAtEnd(t)
	return w
}
