package kubestore_test

import (
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/kubestore"
	"drey.dev/drey/registry/storetest"
)

func BenchmarkGet(b *testing.B) {
	w := sharedWorld(b)
	s := w.open(b, kubestore.Options{})
	o, err := s.Create(b.Context(), storetest.Target(w.Namespace(b), "a", "flink"))
	if err != nil {
		b.Fatal(err)
	}
	b.Run("cache", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Get(b.Context(), o.Key(), registry.Cached); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("consistent", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Get(b.Context(), o.Key(), registry.Consistent); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkCreate compares the store with the API server alone.
func BenchmarkCreate(b *testing.B) {
	w := sharedWorld(b)
	s := w.open(b, kubestore.Options{})
	ns := w.Namespace(b)
	n := 0
	b.Run("store", func(b *testing.B) {
		for b.Loop() {
			n++
			if _, err := s.Create(b.Context(), storetest.Target(ns, fmt.Sprint("store-", n), "flink")); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("API server alone", func(b *testing.B) {
		targets := w.objects.Resource(schema.GroupVersionResource{Group: "drey.dev", Version: "v1", Resource: "deploymenttargets"}).Namespace(ns)
		for b.Loop() {
			n++
			o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "drey.dev/v1", "kind": "DeploymentTarget",
				"metadata": map[string]any{"name": fmt.Sprint("plain-", n)}, "spec": map[string]any{"kubernetes": map[string]any{"namespace": "flink"}}}}
			if _, err := targets.Create(b.Context(), o, metav1.CreateOptions{}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
