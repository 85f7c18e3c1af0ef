package e2e

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"drey.dev/drey/registry"
	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/webhook/flink"
)

// corpus is a folder beside this repository with manifests and CRDs as others
// publish them: none of that is ours to copy.
const corpus = "../../../shared/corpus"

// TestCorpus applies manifests of Flink's operator, with its real CRDs: in a
// registered namespace they are accepted and labeled, and their specs are as
// without drey; in another they are refused, with the command that helps.
func TestCorpus(t *testing.T) {
	manifests := readCorpus(t)
	c := cluster.Start(t) // of its own: the CRDs have the names of those that the others use
	w := corpusWorld(t, c)

	registered, unregistered, without := w.Namespace(t), w.Namespace(t), "kube-public" // which drey leaves alone
	w.register(t, "team-a", registered)
	for name, manifest := range manifests {
		t.Run(name, func(t *testing.T) {
			plain, err := w.create(t.Context(), without, clone(t, manifest))
			if err != nil {
				t.Fatalf("the manifest is refused without drey, too: %v", err)
			}
			made, err := w.create(t.Context(), registered, clone(t, manifest))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(made.Object["spec"], plain.Object["spec"]) {
				t.Errorf("with drey the spec is %v, without it %v", made.Object["spec"], plain.Object["spec"])
			}
			if want := corpusLabels(manifest); !maps.Equal(made.GetLabels(), want) {
				t.Errorf("got labels  %v\nwant labels %v", made.GetLabels(), want)
			}
			if !maps.Equal(made.GetAnnotations(), plain.GetAnnotations()) || made.GetGeneration() != plain.GetGeneration() {
				t.Errorf("with drey it is %v, without it %v", made.Object["metadata"], plain.Object["metadata"])
			}

			_, err = w.create(t.Context(), unregistered, clone(t, manifest))
			if err == nil {
				t.Fatal("it is let into a namespace without a target")
			}
			for _, want := range []string{`namespace "` + unregistered + `" has no DeploymentTarget`, "curl -X POST " + w.drey.REST} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the denial does not say %q: %v", want, err)
				}
			}
		})
	}
	var want []string // none has pods: there is no operator
	for _, c := range flink.CustomResources {
		if c.Group != "flink.apache.org" {
			continue
		}
		for _, o := range w.list(t, c.Kind, registered) {
			want = append(want, c.Kind+"/"+o.GetName()+" in "+registered)
		}
	}
	if got := w.references(t, "team-a", registered); len(got) == 0 || !slices.Equal(got, want) {
		t.Errorf("the target's references are %v, want %v", got, want)
	}
	w.keepsTarget(t, "team-a", registered, "FlinkDeployment")
}

// corpusLabels are those that a manifest has and gets: the operator's kinds by
// what their specs say of a job.
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

// readCorpus returns the objects of the corpus by file and name.
func readCorpus(t *testing.T) map[string]map[string]any {
	t.Helper()
	all := map[string]map[string]any{}
	err := filepath.WalkDir(corpus, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".yaml" {
			return err
		}
		for _, o := range documentsOf(t, path) {
			u := &unstructured.Unstructured{Object: o}
			all[strings.TrimPrefix(path, corpus+"/")+"/"+u.GetName()] = o
		}
		return nil
	})
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("there is no " + corpus + ": manifests and CRDs of Flink's operator, as it publishes them")
	}
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatalf("%s has no manifests", corpus)
	}
	return all
}

func documentsOf(t *testing.T, path string) []map[string]any {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []map[string]any
	for document := range strings.SplitSeq(string(text), "\n---") {
		var o map[string]any
		if err := yaml.Unmarshal([]byte(document), &o); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if len(o) > 0 {
			all = append(all, o)
		}
	}
	return all
}

// corpusWorld has the corpus' CRDs, and drey.
func corpusWorld(t *testing.T, c *cluster.Cluster) *world {
	t.Helper()
	api, err := dynamic.NewForConfig(c.Config())
	if err != nil {
		t.Fatal(err)
	}
	paths, err := filepath.Glob(corpus + "/crds/*")
	if err != nil || len(paths) == 0 {
		t.Fatalf("the corpus has no CRDs: %v", err)
	}
	for _, path := range paths {
		for _, crd := range documentsOf(t, path) {
			if err := cluster.InstallCRD(t.Context(), api, crd); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
		}
	}
	w, err := newWorld(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.drey.Stop(); err != nil {
			t.Error(err)
		}
	})
	return w
}
