// Package kubestore_test tests registry/kubestore against a real API server.
package kubestore_test

import (
	"context"
	"os"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"drey.dev/drey/manifests/rollout"
	"drey.dev/drey/registry"
	"drey.dev/drey/registry/kubestore"
	"drey.dev/drey/registry/storetest"
	"drey.dev/drey/test/framework/cluster"
)

// world is a control plane with drey's CRDs.
type world struct {
	*cluster.Cluster
	objects dynamic.Interface
}

var shared = sync.OnceValues(func() (*world, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	c, err := cluster.New(ctx, cluster.Options{KeepNamespaces: true})
	if err != nil {
		return nil, err
	}
	started = c
	if err := rollout.InstallCRDs(ctx, c.Config()); err != nil {
		return nil, err
	}
	objects, err := dynamic.NewForConfig(c.Config())
	return &world{c, objects}, err
})

var started *cluster.Cluster

func TestMain(m *testing.M) {
	cluster.RaiseParallel()
	code := m.Run()
	if started != nil {
		if err := started.Stop(); err != nil {
			println(err.Error())
			code = 1
		}
	}
	os.Exit(code)
}

// sharedWorld returns the world that the tests of this package share.
func sharedWorld(t testing.TB) *world {
	t.Helper()
	w, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// open returns a store that is closed at the end of the test.
func (w *world) open(t testing.TB, o kubestore.Options) *kubestore.Store {
	t.Helper()
	return w.openAs(t, w.Config(), o)
}

// openAs is open with another client configuration.
func (w *world) openAs(t testing.TB, config *rest.Config, o kubestore.Options) *kubestore.Store {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, err := kubestore.Open(ctx, config, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// reporting returns a store that writes status, as the leader's does.
func (w *world) reporting(t testing.TB, o kubestore.Options) *kubestore.Store {
	t.Helper()
	s := w.open(t, o)
	go s.ReportStatus(t.Context())
	return s
}

// TestStore runs the conformance suite beside a second store that writes status, which must
// not affect versions.
func TestStore(t *testing.T) {
	w := sharedWorld(t)
	suiteNamespaces := []string{"default", "a", "b", "c", "team", "team-b", "tea"}
	client := kubernetes.NewForConfigOrDie(w.Config())
	for _, name := range suiteNamespaces {
		_, err := client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatal(err)
		}
	}
	w.reporting(t, kubestore.Options{})
	storetest.Run(t, func(t testing.TB) registry.Store {
		w.empty(t)
		return w.open(t, kubestore.Options{})
	})
}

// empty deletes all objects, in all namespaces.
func (w *world) empty(t testing.TB) {
	t.Helper()
	for _, plural := range []string{"deploymenttargets", "deployments", "sessionclusters", "deploymentdefaults"} {
		r := w.objects.Resource(schema.GroupVersionResource{Group: "drey.dev", Version: "v1", Resource: plural})
		all, err := r.List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range all.Items {
			if err := r.Namespace(o.GetNamespace()).Delete(t.Context(), o.GetName(), metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
				t.Fatal(err)
			}
		}
	}
}
