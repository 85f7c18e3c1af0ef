package cluster

import (
	"testing"

	"drey.dev/drey/inventory"
)

// TestDecodeUse: the use of a pod is the sum of its containers.
func TestDecodeUse(t *testing.T) {
	got, err := decodeUse([]byte(`{"kind":"PodMetricsList","apiVersion":"metrics.k8s.io/v1beta1","metadata":{},"items":[{
		"metadata":{"name":"p","namespace":"flink","creationTimestamp":"2026-03-01T12:00:00Z"},"timestamp":"2026-03-01T12:00:00Z","window":"15s",
		"containers":[{"name":"flink-main-container","usage":{"cpu":"250123456n","memory":"1Gi"}},{"name":"log","usage":{"cpu":"0","memory":"512Ki"}}]}]}`))
	if want := (inventory.Resources{MilliCPU: 251, Memory: 1<<30 + 512<<10}); err != nil || got["flink"]["p"] != want {
		t.Errorf("%+v, %v", got, err)
	}
}
