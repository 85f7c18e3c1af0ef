package kubectl

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/eventually"
)

// The states of a metricsServer.
const (
	serving = iota
	broken  // 503
	slow    // lists of pods do not end
)

// metricsServer serves metrics.k8s.io behind the aggregation layer, as metrics-server does. Each pod
// uses 0.1 cores and 200 MiB.
type metricsServer struct {
	*httptest.Server
	state atomic.Int32
}

func newMetricsServer(t *testing.T, client kubernetes.Interface) *metricsServer {
	t.Helper()
	m := &metricsServer{}
	const version = "/apis/metrics.k8s.io/v1beta1"
	end := make(chan struct{})
	m.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		state := m.state.Load()
		switch {
		case state == broken:
			http.Error(w, "no metrics known", http.StatusServiceUnavailable)
		case r.URL.Path == version:
			writeJSON(w, map[string]any{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "metrics.k8s.io/v1beta1", "resources": []any{
				map[string]any{"name": "pods", "singularName": "", "namespaced": true, "kind": "PodMetrics", "verbs": []string{"get", "list"}},
			}})
		case r.URL.Path != version+"/pods":
			http.NotFound(w, r)
		case state == slow:
			select {
			case <-r.Context().Done():
			case <-end:
			}
		default:
			pods, err := client.CoreV1().Pods("").List(r.Context(), metav1.ListOptions{LabelSelector: r.URL.Query().Get("labelSelector")})
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			items := []any{}
			for _, p := range pods.Items {
				items = append(items, map[string]any{
					"metadata": map[string]any{"name": p.Name, "namespace": p.Namespace}, "timestamp": time.Now().UTC().Format(time.RFC3339), "window": "15s",
					"containers": []any{map[string]any{"name": "flink-main-container", "usage": map[string]string{"cpu": "100000000n", "memory": "204800Ki"}}},
				})
			}
			writeJSON(w, map[string]any{"kind": "PodMetricsList", "apiVersion": "metrics.k8s.io/v1beta1", "metadata": map[string]any{}, "items": items})
		}
	}))
	t.Cleanup(m.Close)
	t.Cleanup(func() { close(end) })
	return m
}

func writeJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value) // the client may have gone
}

// aggregated has the API server forward metrics.k8s.io to a port of this machine.
const aggregated = `
apiVersion: v1
kind: Service
metadata: {name: metrics-server, namespace: kube-system}
spec: {type: ExternalName, externalName: localhost, ports: [{port: PORT}]}
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1beta1.metrics.k8s.io}
spec: {group: metrics.k8s.io, version: v1beta1, groupPriorityMinimum: 100, versionPriority: 100, insecureSkipTLSVerify: true, service: {name: metrics-server, namespace: kube-system, port: PORT}}
`

// TestPodMetrics: the command line, REST and the console show what pods use where the API server serves
// metrics.k8s.io. Where it does not, is broken or does not answer, they show the rest.
func TestPodMetrics(t *testing.T) {
	t.Parallel()
	w := &world{Cluster: cluster.Start(t)}
	if err := w.startDrey(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.drey.LogOnFailure(t)
		if err := w.drey.Stop(); err != nil {
			t.Error(err)
		}
	})
	restart := func() {
		t.Helper()
		if err := w.drey.Stop(); err != nil {
			t.Fatal(err)
		}
		if err := w.startDrey(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	namespace := w.Namespace(t)
	admin := w.admin(t, namespace)
	w.MustKubectl(t, targetYAML("prod", "", namespace), "apply", "-n", namespace, "-f", "-")
	manifest := strings.Replace(deniedDeployment, "replicas: 0", "replicas: 2", 1)
	w.MustKubectl(t, strings.Replace(manifest, `image: "flink:2.2"`, `image: "flink:2.2", resources: {requests: {cpu: 250m, memory: 1Gi}}`, 1), "create", "-n", namespace, "-f", "-")
	eventually.OK(t, func() error {
		if out := w.MustKubectl(t, "", "get", "pods", "-n", namespace, "-l", "system=ververica-platform", "-o", "name"); strings.Count(out, "pod/") != 2 {
			return fmt.Errorf("pods: %s", out)
		}
		return nil
	})
	plugin := w.plugin(t, w.Kubeconfig())
	usage := func(state string, used bool) {
		t.Helper()
		start := time.Now()
		out, code := plugin("", "usage", "-n", namespace, "-o", "json")
		took := time.Since(start).Round(time.Millisecond)
		t.Logf("metrics.k8s.io %s: drey usage took %s", state, took)
		if code != 0 || !strings.Contains(out, `"milliCPU": 500`) || strings.Contains(out, `"milliCPU": 200`) != used {
			t.Errorf("metrics.k8s.io %s: drey usage after %s: exit code %d %s", state, took, code, out)
		}
	}
	read := func(path string) (string, error) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.drey.REST+path, nil)
		if err != nil {
			return "", err
		}
		request.Header.Set("Authorization", "Bearer "+admin.token)
		request.Header.Set("Accept", "text/html, application/json")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return "", err
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err == nil && response.StatusCode != http.StatusOK {
			err = fmt.Errorf("status %d", response.StatusCode)
		}
		return string(text), err
	}
	shown := func(state string, used bool) {
		t.Helper()
		const page = "/console/workloads/"
		for path, text := range map[string]string{
			"/drey/v1/usage?namespace=" + namespace: `"use":{"milliCPU":200,"memoryBytes":419430400}`, "/drey/v1/targets?name=prod": `"use":{"milliCPU":200,"memoryBytes":419430400}`,
			page + namespace + "/Deployment/denied": "0.2 cores, 400 MiB", "/console/workloads": "use 0.2 cores and 400 MiB", "/console/targets/" + namespace + "/prod": "(uses 0.2 cores, 400 MiB)",
		} {
			eventually.OK(t, func() error {
				got, err := read(path)
				if err != nil || strings.Contains(got, text) != used {
					return fmt.Errorf("metrics.k8s.io %s: %s: %w, use %v: %s", state, path, err, used, got)
				}
				return nil
			})
		}
	}
	usage("absent", false)
	shown("absent", false)

	m := newMetricsServer(t, kubernetes.NewForConfigOrDie(w.Config()))
	address, err := url.Parse(m.URL)
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(address.Host)
	if err != nil {
		t.Fatal(err)
	}
	w.MustKubectl(t, strings.ReplaceAll(aggregated, "PORT", port), "apply", "-f", "-")
	w.MustKubectl(t, "", "wait", "--for=condition=Available", "apiservice/v1beta1.metrics.k8s.io")
	usage("served", true)
	restart() // reads at once
	shown("served", true)
	page, err := read("/console/workloads/" + namespace + "/Deployment/denied")
	for _, p := range strings.Fields(w.MustKubectl(t, "", "get", "pods", "-n", namespace, "-o", "jsonpath={.items[*].metadata.name}")) {
		if err != nil || !strings.Contains(page, ">"+p+"<") {
			t.Errorf("the page of the workload does not have pod %s: %v %s", p, err, page)
		}
	}

	m.state.Store(slow)
	usage("slow", false)
	restart()
	shown("slow", false)

	m.state.Store(broken)
	usage("broken", false)
	restart()
	shown("broken", false)

	w.MustKubectl(t, "", "delete", "apiservice", "v1beta1.metrics.k8s.io")
	usage("absent again", false)
}
