package namespacelabels

import (
	"context"
	"fmt"
	"log/slog"
	goruntime "runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	metadatafake "k8s.io/client-go/metadata/fake"
	clienttesting "k8s.io/client-go/testing"
)

// TestCacheBrokenWatch: a broken watch is followed by a list, because the API server may
// come back with a restored etcd.
func TestCacheBrokenWatch(t *testing.T) {
	synctest.Test(t, testCacheBrokenWatch)
}

func testCacheBrokenWatch(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := metav1.AddMetaToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	client := metadatafake.NewSimpleMetadataClient(scheme)
	var lists atomic.Int32
	client.PrependReactor("list", "namespaces", func(clienttesting.Action) (bool, runtime.Object, error) {
		list := &metav1.List{ListMeta: metav1.ListMeta{ResourceVersion: "1"}}
		if lists.Add(1) == 1 { // gone after the restore
			list.Items = []runtime.RawExtension{{Object: &metav1.PartialObjectMetadata{
				TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
				ObjectMeta: metav1.ObjectMeta{Name: "flink", ResourceVersion: "1", Labels: map[string]string{"drey.dev/registered": "true"}},
			}}}
		}
		return true, list, nil
	})
	client.PrependWatchReactor("namespaces", func(clienttesting.Action) (bool, watch.Interface, error) {
		w := watch.NewFake()
		// A reflector lists in any case after a watch shorter than a second.
		time.AfterFunc(1200*time.Millisecond, w.Stop)
		return true, w, nil
	})
	c, err := NewCache(client, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go c.Run(ctx)
	for _, want := range []bool{true, false} {
		synctest.Wait()
		if got := c.HadTarget("flink"); !c.Synced() || got != want {
			t.Errorf("HadTarget: got %t, want %t", got, want)
		}
		time.Sleep(15 * time.Second) // the watch breaks, and a list follows a backoff
	}
}

// BenchmarkCacheMemory reports the heap of the cache by registered namespace, as the API server
// returns them.
func BenchmarkCacheMemory(b *testing.B) {
	const n = 10_000
	scheme := runtime.NewScheme()
	if err := metav1.AddMetaToScheme(scheme); err != nil {
		b.Fatal(err)
	}
	client := metadatafake.NewSimpleMetadataClient(scheme)
	client.PrependReactor("list", "namespaces", func(clienttesting.Action) (bool, runtime.Object, error) {
		list := &metav1.List{ListMeta: metav1.ListMeta{ResourceVersion: "1"}}
		for i := range n {
			name := fmt.Sprint("namespace-", i)
			list.Items = append(list.Items, runtime.RawExtension{Object: &metav1.PartialObjectMetadata{
				TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
				ObjectMeta: metav1.ObjectMeta{
					Name: name, UID: "5b6f8a9e-0000-4000-8000-000000000000", ResourceVersion: fmt.Sprint(i + 1),
					Labels: map[string]string{strings.Clone("kubernetes.io/metadata.name"): name, strings.Clone("drey.dev/registered"): strings.Clone("true")},
				},
			}})
		}
		return true, list, nil
	})
	heap := func() uint64 {
		client.ClearActions()
		var stats goruntime.MemStats
		for range 3 { // pools keep objects for two collections
			goruntime.GC()
		}
		goruntime.ReadMemStats(&stats)
		return stats.HeapAlloc
	}
	for b.Loop() {
		before := heap()
		c, err := NewCache(client, slog.New(slog.DiscardHandler))
		if err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithCancel(b.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			c.Run(ctx)
		}()
		for !c.Synced() || !c.HadTarget("namespace-9999") {
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(100 * time.Millisecond) // the handlers process their events
		b.ReportMetric(float64(heap()-before)/n, "B/namespace")
		goruntime.KeepAlive(c)
		cancel()
		<-ended
	}
}
