package denials

import (
	"fmt"
	"runtime"
	"testing"
	"time"
)

// BenchmarkMemory reports the memory of a full history.
func BenchmarkMemory(b *testing.B) {
	heap := func() uint64 {
		var stats runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&stats)
		return stats.HeapAlloc
	}
	for b.Loop() {
		before := heap()
		var d Document
		for i := range maxDenials {
			one := denial(fmt.Sprint("workload-", i))
			one.Namespace, one.Last = fmt.Sprint("namespace-", i%100), time.Now()
			one.Message = fmt.Sprintf("namespace %q has no DeploymentTarget, so Flink may not run there. Register it, or deploy to a namespace that has one. (Deployment %q is recognized as Flink by its labels.)", one.Namespace, one.Name)
			one.Remedy = fmt.Sprintf(`echo '{"apiVersion":"drey.dev/v1","kind":"DeploymentTarget","metadata":{"name":"%[1]s","namespace":"default"},"spec":{"kubernetes":{"namespace":"%[1]s"}}}' | kubectl apply -f -`, one.Namespace)
			d.Denials = append(d.Denials, one)
		}
		h := NewHistory("a", nil)
		h.Load(d)
		d = Document{}
		b.ReportMetric(float64(heap()-before)/(1<<20), "MiB")
		runtime.KeepAlive(h)
	}
}
