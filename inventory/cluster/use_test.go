package cluster

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"k8s.io/client-go/rest"

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

// TestUseOfFailedReads: a reading stays known while metrics.k8s.io is broken, for five minutes, and
// is forgotten at once where it is not served any more.
func TestUseOfFailedReads(t *testing.T) {
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(`{"items":[{"metadata":{"name":"p","namespace":"flink"},"containers":[{"usage":{"cpu":"1","memory":"1Gi"}}]}]}`))
	}))
	t.Cleanup(server.Close)
	changes := 0
	m, err := NewPodMetrics(&rest.Config{Host: server.URL}, slog.New(slog.DiscardHandler), func(string) { changes++ })
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	m.now = func() time.Time { return now }
	for i, step := range []struct {
		status  int
		after   time.Duration
		known   bool
		changes int // in total
	}{
		{http.StatusServiceUnavailable, 0, false, 0}, {http.StatusOK, time.Minute, true, 1}, {http.StatusServiceUnavailable, time.Minute, true, 1}, {http.StatusInternalServerError, 3 * time.Minute, true, 1},
		{http.StatusServiceUnavailable, time.Minute, false, 2}, {http.StatusOK, time.Minute, true, 3}, {http.StatusNotFound, time.Minute, false, 4}, {http.StatusNotFound, time.Minute, false, 4},
	} {
		status, now = step.status, now.Add(step.after)
		m.Read(t.Context())
		if known := len(m.Of("flink")) > 0; known != step.known || changes != step.changes {
			t.Errorf("step %d: known %v, %d changes, want %+v", i, known, changes, step)
		}
	}
}
