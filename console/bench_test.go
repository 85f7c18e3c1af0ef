package console_test

import (
	"bufio"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"

	"drey.dev/drey/denials"
	"drey.dev/drey/inventory"
	"drey.dev/drey/test/framework/console"
)

// large serves 1,000 targets, 5,000 workloads and 1,000 denials.
func large(t testing.TB) *console.Server {
	t.Helper()
	s := console.Start(t, console.Options{Empty: true})
	for i := range 1000 {
		s.Target(t, []string{"default", "payments", "search", "analytics"}[i%4], fmt.Sprintf("target-%04d", i), fmt.Sprintf("namespace-%04d", i))
	}
	for i := range 5000 {
		w := inventory.Workload{
			Namespace: fmt.Sprintf("namespace-%04d", i%1000), PlatformNamespace: []string{"default", "payments", "search", "analytics"}[i%4], Target: fmt.Sprintf("target-%04d", i%1000),
			Owner: inventory.Owner{Kind: "FlinkDeployment", Name: fmt.Sprintf("job-%04d", i)}, Flavor: "native", Mode: "application", State: "Running", Kind: "Deployment", Name: fmt.Sprintf("job-%04d", i),
			ID: fmt.Sprint(i), JobID: fmt.Sprint(i), Pods: 10, PodsReady: 10, Requests: inventory.Resources{MilliCPU: 1000, Memory: 4 << 30}, Since: console.Now.Add(-time.Duration(i) * time.Minute),
		}
		if i%100 == 0 {
			w.MissingLabels = []string{"jobId"}
		}
		s.Inventory.Put(w)
	}
	for i := range 1000 {
		last := console.Now.Add(-time.Duration(i) * time.Minute)
		s.Deny(denials.Denial{User: fmt.Sprintf("user-%d", i%50), Kind: "Pod", Namespace: "web", Name: fmt.Sprint(i), Reason: "NoDeploymentTarget", Mode: "enforce", Message: "denied", Count: 1, First: last, Last: last})
	}
	return s
}

// pages are the pages of the benchmarks.
var pages = map[string]string{"Overview": "/", "Targets": "/console/targets", "Workloads": "/console/workloads?sort=-memory", "Denials": "/console/denials"}

// get serves a page without a network.
func get(t testing.TB, s *console.Server, path string) {
	t.Helper()
	request := httptest.NewRequest(http.MethodGet, path, nil)
	request.Host, request.Header = "127.0.0.1", http.Header{"Accept": {"text/html"}}
	w := httptest.NewRecorder()
	s.Config.Handler.ServeHTTP(w, request)
	if w.Code != http.StatusOK {
		t.Fatal(w.Code)
	}
}

// BenchmarkPages measures the pages at 1,000 targets, 5,000 workloads and 1,000 denials. The limit of
// each is 100 ms.
func BenchmarkPages(b *testing.B) {
	s := large(b)
	for name, path := range pages {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				get(b, s, path)
			}
			b.ReportMetric(100, "limit-ms/op")
		})
	}
}

// TestPageAllocations bounds the bytes that a page of 1,000 targets, 5,000 workloads and 1,000 denials
// allocates, at a few times what they are: its cost on a machine of any speed.
func TestPageAllocations(t *testing.T) {
	const most = 8 << 20
	s := large(t)
	for name, path := range pages {
		get(t, s, path) // fills caches
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		get(t, s, path)
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > most {
			t.Errorf("%s: allocated %d KiB, want at most %d", name, got>>10, most>>10)
		}
	}
}

// BenchmarkLiveUpdate measures a change until it is on an open overview of 1,000 targets and 5,000
// workloads: the event of the change, and the page that it fetches. The limit is a second.
func BenchmarkLiveUpdate(b *testing.B) {
	s := large(b)
	c := newClient(b, s)
	response, err := s.Client().Get(s.URL + "/console/events?topics=targets+workloads+denials")
	if err != nil {
		b.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	n := 0
	for b.Loop() {
		n++
		s.Inventory.Put(inventory.Workload{Namespace: "web", Owner: inventory.Owner{Kind: "Job", Name: fmt.Sprint("new-", n)}, Misplaced: true, Since: console.Now})
		for lines.Scan() && lines.Text() != "event: change" {
		}
		c.get("/").want(b, http.StatusOK, fmt.Sprintf("5,%03d", n))
	}
	b.ReportMetric(1000, "limit-ms/op")
}
