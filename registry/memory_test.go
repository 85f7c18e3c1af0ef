package registry

import (
	"encoding/json"
	"fmt"
	"runtime"
	"testing"

	"github.com/google/uuid"
)

// BenchmarkMemory measures the heap that the registry keeps of each of 100,000 targets, beside that of
// its store.
func BenchmarkMemory(b *testing.B) {
	const count = 100_000
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for b.Loop() {
		before := heap()
		d, x := newDirectory(), NewIndex("drey-system")
		for i := range count {
			namespace := fmt.Sprintf("team-%04d", i%1000)
			e := Event{Added, Object{Kind: DeploymentTarget, Spec: json.RawMessage(`{"kubernetes":{"namespace":"` + namespace + `"}}`), Metadata: Metadata{
				ID: uuid.NewString(), Namespace: namespace, Name: fmt.Sprintf("target-%d", i),
			}}}
			d.observe(e)
			x.observe(e)
		}
		b.ReportMetric(float64(heap()-before)/count, "B/target")
		runtime.KeepAlive(d)
		runtime.KeepAlive(x)
	}
}

// BenchmarkTargetsOfOneNamespace adds 20,000 targets, which all point at one Kubernetes namespace, in
// the order of a store.
func BenchmarkTargetsOfOneNamespace(b *testing.B) {
	for b.Loop() {
		x := NewIndex("drey-system")
		for i := range 20_000 {
			x.observe(Event{Added, Object{Kind: DeploymentTarget, Spec: json.RawMessage(`{"kubernetes":{"namespace":"flink"}}`), Metadata: Metadata{Namespace: "team", Name: fmt.Sprintf("target-%05d", i)}}})
		}
	}
}
