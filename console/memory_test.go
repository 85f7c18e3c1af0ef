package console

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/google/uuid"

	"drey.dev/drey/console/page"
	"drey.dev/drey/registry"
)

// BenchmarkMemory reports the memory of the templates, and of 10,000 objects in the lists.
func BenchmarkMemory(b *testing.B) {
	const objects = 10_000
	heap := func() uint64 {
		var stats runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&stats)
		return stats.HeapAlloc
	}
	for b.Loop() {
		before := heap()
		pages, err := page.New()
		if err != nil {
			b.Fatal(err)
		}
		loaded := heap()
		c := newCatalog("drey-system", nil)
		for i := range objects {
			c.observe(registry.Event{Change: registry.Added, Object: registry.Object{
				Kind: registry.DeploymentTarget, Spec: fmt.Appendf(nil, `{"kubernetes":{"namespace":"namespace-%04d"}}`, i),
				Metadata: registry.Metadata{ID: uuid.NewString(), Namespace: fmt.Sprintf("team-%03d", i%100), Name: fmt.Sprintf("target-%05d", i)},
			}})
		}
		full := heap()
		b.ReportMetric(float64(loaded-before)/(1<<20), "MiB/templates")
		b.ReportMetric(float64(full-loaded)/objects, "B/object")
		runtime.KeepAlive(pages)
		runtime.KeepAlive(c)
	}
}
