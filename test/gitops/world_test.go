// Package gitops tests sets of targets and workloads with the libraries of GitOps tools: Flux's
// server-side apply, and Argo CD's sync engine.
package gitops

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/yaml"

	"drey.dev/drey/manifests/bundle"
	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/drey"
	"drey.dev/drey/test/framework/drey/installed"
	"drey.dev/drey/test/framework/eventually"
	"drey.dev/drey/test/framework/fixtures"
	"drey.dev/drey/test/framework/fixtures/crds"
)

// world is a control plane with drey, as the manifests install it, and Flink's custom resources.
type world struct {
	*cluster.Cluster
	drey   *drey.Drey
	client client.Client
}

// shared starts the world of all tests; each set has its own namespace.
var shared = sync.OnceValues(func() (*world, error) {
	ctx := context.Background()
	c, err := cluster.New(ctx, cluster.Options{KeepNamespaces: true})
	if err != nil {
		return nil, err
	}
	d, err := start(ctx, c)
	if err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	config := rest.CopyConfig(c.Config())
	config.QPS = -1
	api, err := client.New(config, client.Options{})
	return &world{Cluster: c, drey: d, client: api}, err
})

func start(ctx context.Context, c *cluster.Cluster) (*drey.Drey, error) {
	if err := crds.Install(ctx, c); err != nil {
		return nil, err
	}
	program, err := drey.BuildIn(ctx, "../..", c.Dir())
	if err != nil {
		return nil, err
	}
	return installed.Start(ctx, drey.Options{Program: program, Cluster: c, DataDir: c.Dir(), Args: []string{"--rest-auth", "cluster"}}, bundle.Defaults())
}

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	code := m.Run()
	if w, err := shared(); err == nil {
		if err := errors.Join(w.drey.Stop(), w.Stop()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func sharedWorld(t *testing.T) *world {
	t.Helper()
	w, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	w.drey.LogOnFailure(t)
	return w
}

// configMap is a workload beside those of fixtures.Set, as native Flink has it. NS is its namespace.
const configMap = `
---
apiVersion: v1
kind: ConfigMap
metadata: {name: flink-config, namespace: NS, labels: {app: flink, type: flink-native-kubernetes}}
data: {flink-conf.yaml: "parallelism.default: 2"}
`

// set are the manifests with a namespace of its own, which does not exist yet, and a platform
// namespace, which does.
type set struct {
	namespace, platform string
	objects             []*unstructured.Unstructured
}

func (w *world) newSet(t *testing.T) set {
	t.Helper()
	s := set{platform: w.Namespace(t)}
	s.namespace = s.platform + "-set"
	for text := range strings.SplitSeq(fixtures.Set(s.namespace, s.platform)+strings.ReplaceAll(configMap, "NS", s.namespace), "---") {
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
			t.Fatal(err)
		}
		s.objects = append(s.objects, o)
	}
	return s
}

// kinds returns copies of the objects of some kinds; without kinds, of all.
func (s set) kinds(kinds ...string) []*unstructured.Unstructured {
	var all []*unstructured.Unstructured
	for _, o := range s.objects {
		if len(kinds) == 0 || slices.Contains(kinds, o.GetKind()) {
			all = append(all, o.DeepCopy())
		}
	}
	return all
}

// workloads are the kinds that need a target.
var workloads = []string{"ConfigMap", "Deployment", "FlinkDeployment", "Pod"}

// live reads the objects of the set.
func (w *world) live(t *testing.T, s set) []*unstructured.Unstructured {
	t.Helper()
	var all []*unstructured.Unstructured
	for _, o := range s.kinds() {
		if err := w.client.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
			t.Fatal(err)
		}
		all = append(all, o)
	}
	return all
}

// awaitLabels waits until the set's workloads, and the pod of the Deployment, have drey's labels.
func (w *world) awaitLabels(t *testing.T, s set) {
	t.Helper()
	eventually.OK(t, func() error {
		pods := &unstructured.UnstructuredList{Object: map[string]any{"apiVersion": "v1", "kind": "PodList"}}
		if err := w.client.List(t.Context(), pods, client.InNamespace(s.namespace), client.MatchingLabels{"app": "flink"}); err != nil {
			return err
		}
		if len(pods.Items) == 0 {
			return errors.New("the Deployment has no pod")
		}
		all := w.live(t, s)
		for i := range pods.Items {
			all = append(all, &pods.Items[i])
		}
		for _, o := range all {
			if slices.Contains(workloads, o.GetKind()) && (o.GetLabels()["system"] != "ververica-platform" || o.GetLabels()["vvpNamespace"] != s.platform) {
				return fmt.Errorf("%s %s: got the labels %v, want drey's", o.GetKind(), o.GetName(), o.GetLabels())
			}
		}
		return nil
	})
}

// states are the uids of the set's objects, drey's labels, and unless objects are rewritten, the generations,
// and the resource versions of objects that no controller writes.
func (w *world) states(t *testing.T, s set, rewritten bool) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, o := range w.live(t, s) {
		state := []any{o.GetUID(), o.GetLabels()["system"], o.GetLabels()["vvpNamespace"]}
		if !rewritten {
			state = append(state, o.GetGeneration())
			if o.GetKind() == "ConfigMap" {
				state = append(state, o.GetResourceVersion())
			}
		}
		all[o.GetKind()] = fmt.Sprintln(state...)
	}
	return all
}

// awaitGone waits until objects are deleted.
func (w *world) awaitGone(t *testing.T, objects ...*unstructured.Unstructured) {
	t.Helper()
	eventually.OK(t, func() error {
		for _, o := range objects {
			err := w.client.Get(t.Context(), types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}, o.DeepCopy())
			if !apierrors.IsNotFound(err) {
				return fmt.Errorf("%s %s: got %w, want not found", o.GetKind(), o.GetName(), err)
			}
		}
		return nil
	})
}
