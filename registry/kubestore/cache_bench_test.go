package kubestore

import (
	"fmt"
	"runtime"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/kubestore/internal/codec"
)

// BenchmarkGet gets one of 100,000 targets from the cache.
func BenchmarkGet(b *testing.B) {
	s := &Store{objectCache: manyTargets()}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Get(b.Context(), registry.Key{Kind: registry.DeploymentTarget, Namespace: "team-7", Name: "t-7"}, registry.Cached); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkListAmongMany lists the 100 targets of one of 1,000 platform namespaces.
func BenchmarkListAmongMany(b *testing.B) {
	c := manyTargets()
	b.ReportAllocs()
	for b.Loop() {
		if len(c.list(registry.DeploymentTarget, "team-7")) != 100 {
			b.Fatal("incomplete")
		}
	}
}

// manyTargets returns a cache of 100,000 targets in 1,000 platform namespaces.
func manyTargets() *objectCache {
	c := newObjectCache()
	for i := range 100_000 {
		o := target(fmt.Sprintf("00000000-0000-4000-8000-%012d", i), fmt.Sprint("t-", i), i, i+1)
		o.Namespace = fmt.Sprint("team-", i%1000)
		o.Labels = map[string]string{"team": o.Namespace}
		c.upsert(newRecord(codec.Resources[registry.DeploymentTarget], o))
	}
	return c
}

// BenchmarkList lists 1,000 targets of a platform namespace from the cache, and from the store of a
// client-go informer, whose objects are decoded by each read: see decision 21.
func BenchmarkList(b *testing.B) {
	const count = 1000
	resource := codec.Resources[registry.DeploymentTarget]
	object := func(i int) codec.Object {
		o := target(fmt.Sprintf("00000000-0000-4000-8000-%012d", i), fmt.Sprint("t-", i), i, i+1)
		o.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "drey", FieldsV1: metav1.NewFieldsV1(`{"f:metadata":{"f:annotations":{".":{},"f:drey.dev/id":{}}},"f:spec":{".":{},"f:kubernetes":{".":{},"f:namespace":{}}}}`)}}
		return o
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	b.Run("cache", func(b *testing.B) {
		before, c := heap(), newObjectCache()
		for i := range count {
			c.upsert(newRecord(resource, object(i)))
		}
		bytes := heap() - before
		b.ReportAllocs()
		for b.Loop() {
			if len(c.list(registry.DeploymentTarget, "team-a")) != count {
				b.Fatal("incomplete")
			}
		}
		b.ReportMetric(float64(bytes)/count, "B/object")
		runtime.KeepAlive(c)
	})
	b.Run("informer", func(b *testing.B) {
		before := heap()
		x := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
		for i := range count {
			if err := x.Add(object(i)); err != nil {
				b.Fatal(err)
			}
		}
		bytes := heap() - before
		b.ReportAllocs()
		for b.Loop() {
			all, err := x.ByIndex(cache.NamespaceIndex, "team-a")
			if err != nil {
				b.Fatal(err)
			}
			list := make([]registry.Object, 0, len(all))
			for _, o := range all {
				list = append(list, resource.Decode(o.(codec.Object)))
			}
			sortByKey(list)
			if len(list) != count {
				b.Fatal("incomplete")
			}
		}
		b.ReportMetric(float64(bytes)/count, "B/object")
		runtime.KeepAlive(x)
	})
}
