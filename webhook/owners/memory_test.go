package owners

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/rest"
)

// BenchmarkInitialLists measures the caches of 1,000 and 10,000 labeled Deployments, which are read
// whole: the time and CPU until they have synced, the peak of the heap and what stays of it for
// each. stream is a streaming list, of Kubernetes 1.34 and later; list has pages.
func BenchmarkInitialLists(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		for _, streaming := range []bool{true, false} {
			name := "list"
			if streaming {
				name = "stream"
			}
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				server := httptest.NewServer(workloadServer{n, streaming})
				b.Cleanup(server.CloseClientConnections)
				for range b.N {
					measureInitialLists(b, server.URL, n)
				}
			})
		}
	}
}

func measureInitialLists(b *testing.B, url string, n int) {
	before, cpu := heap(), cpuTime(b)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	o, err := New(&rest.Config{Host: url}, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	var peak atomic.Uint64
	go func() {
		for ctx.Err() == nil {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak.Store(max(peak.Load(), m.HeapAlloc))
			time.Sleep(5 * time.Millisecond)
		}
	}()
	go o.Run(ctx)
	for !o.Synced() {
		time.Sleep(time.Millisecond)
	}
	used := cpuTime(b) - cpu
	if got := len(o.caches[deployments].informer.GetIndexer().ListKeys()); got != n {
		b.Fatalf("got %d Deployments, want %d", got, n)
	}
	b.ReportMetric(float64(heap()-before)/float64(n), "B/workload")
	b.ReportMetric(float64(peak.Load()-before)/(1<<20), "peak-MiB")
	b.ReportMetric(used.Seconds()*1000, "cpu-ms")
	runtime.KeepAlive(o)
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// workloadServer is an API server with n Deployments of Flink, and nothing else.
type workloadServer struct {
	n         int
	streaming bool
}

const deploymentText = `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"jobmanager-%[1]d","namespace":"flink","uid":"00000000-0000-4000-8000-%012[1]d","resourceVersion":"%[1]d","generation":1,
"creationTimestamp":"2026-03-01T12:00:00Z","labels":{"app":"flink","component":"jobmanager","system":"ververica-platform","vvpNamespace":"default","deploymentId":"00000000-0000-4000-9000-%012[1]d","deploymentName":"orders-%[1]d"},
"annotations":{"deployment.kubernetes.io/revision":"1","kubectl.kubernetes.io/last-applied-configuration":"%[2]s"},"managedFields":[{"manager":"kubectl","operation":"Apply","apiVersion":"apps/v1","time":"2026-03-01T12:00:00Z","fieldsType":"FieldsV1","fieldsV1":{"f:spec":{"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"jobmanager\"}":{".":{},"f:args":{},"f:image":{},"f:env":{"k:{\"name\":\"A\"}":{".":{},"f:name":{},"f:value":{}}},"f:volumeMounts":{}}}}}}}}]},
"spec":{"replicas":1,"selector":{"matchLabels":{"app":"flink"}},"template":{"metadata":{"labels":{"app":"flink","component":"jobmanager"}},"spec":{"containers":[{"name":"jobmanager","image":"flink:1.20","args":["jobmanager"],"resources":{"requests":{"cpu":"1","memory":"2Gi"}},"env":[{"name":"FLINK_PROPERTIES","value":"%[2]s"}],"ports":[{"containerPort":6123},{"containerPort":8081}],"livenessProbe":{"tcpSocket":{"port":6123}},"volumeMounts":[{"name":"config","mountPath":"/opt/flink/conf"}]}],"volumes":[{"name":"config","configMap":{"name":"flink-config"}}]}}},
"status":{"observedGeneration":1,"replicas":1,"updatedReplicas":1,"readyReplicas":1,"availableReplicas":1,"conditions":[{"type":"Available","status":"True","lastTransitionTime":"2026-03-01T12:00:10Z","lastUpdateTime":"2026-03-01T12:00:10Z","reason":"MinimumReplicasAvailable","message":"Deployment has minimum availability."}]}}`

var filler = strings.Repeat("jobmanager.rpc.address: jobmanager; ", 40) // 1.4 KB, as a configuration

func (s workloadServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	kind, apiVersion, n := "Thing", "things/v1", 0
	switch {
	case strings.HasSuffix(r.URL.Path, "/apps/v1/deployments"):
		kind, apiVersion, n = "Deployment", "apps/v1", s.n
	case strings.Contains(r.Header.Get("Accept"), "PartialObjectMetadata"):
		kind, apiVersion = "PartialObjectMetadata", "meta.k8s.io/v1"
	}
	if r.URL.Query().Get("watch") == "" && !r.URL.Query().Has("watch") {
		s.list(w, r, kind, apiVersion, n)
		return
	}
	if initial := r.URL.Query().Get("sendInitialEvents") == "true"; initial && !s.streaming {
		w.WriteHeader(http.StatusUnprocessableEntity) // as an API server without streaming lists
		fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Invalid","code":422,"message":"sendInitialEvents is forbidden"}`)
		return
	} else if initial {
		for i := range n {
			fmt.Fprintf(w, `{"type":"ADDED","object":%s}`, fmt.Sprintf(deploymentText, i+1, filler))
		}
		fmt.Fprintf(w, `{"type":"BOOKMARK","object":{"kind":%q,"apiVersion":%q,"metadata":{"resourceVersion":"%d","annotations":{"k8s.io/initial-events-end":"true"}}}}`, kind, apiVersion, s.n+1)
	}
	w.(http.Flusher).Flush()
	<-r.Context().Done()
}

// list sends pages of the requested size.
func (s workloadServer) list(w io.Writer, r *http.Request, kind, apiVersion string, n int) {
	var from, limit int
	_, _ = fmt.Sscan(r.URL.Query().Get("continue"), &from) // none on the first page
	_, _ = fmt.Sscan(r.URL.Query().Get("limit"), &limit)
	end, next := n, ""
	if limit > 0 && from+limit < n {
		end = from + limit
		next = fmt.Sprint(end)
	}
	fmt.Fprintf(w, `{"kind":"%sList","apiVersion":%q,"metadata":{"resourceVersion":"%d","continue":%q},"items":[`, kind, apiVersion, s.n+1, next)
	for i := from; i < end; i++ {
		if i > from {
			fmt.Fprint(w, ",")
		}
		fmt.Fprintf(w, deploymentText, i+1, filler)
	}
	fmt.Fprint(w, "]}")
}
