package rest_test

import (
	"flag"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"drey.dev/drey/denials"
	"drey.dev/drey/inventory"
	"drey.dev/drey/registry"
	"drey.dev/drey/registry/memstore"
	"drey.dev/drey/registry/rest"
	"drey.dev/drey/test/framework/exchange"
)

var update = flag.Bool("update", false, "rewrite the answers in testdata/*.http with what the server says")

// TestExchanges plays each testdata/*.http against a server of its own.
func TestExchanges(t *testing.T) {
	files, err := filepath.Glob("testdata/*.http")
	if err != nil || len(files) == 0 {
		t.Fatalf("no exchanges found: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".http"), func(t *testing.T) {
			(&exchange.Player{URL: newServer(t).URL, Update: *update}).Play(t, file)
		})
	}
}

// TestQuotaExchange plays testdata/quota against a server whose quota is 4 KiB.
func TestQuotaExchange(t *testing.T) {
	server := newServerWith(t, registry.Options{OwnNamespace: "drey-system", Namespaces: []string{"team-a"}, Quota: 4 << 10})
	(&exchange.Player{URL: server.URL, Update: *update}).Play(t, "testdata/quota/quota.http")
}

// TestObserveExchange plays testdata/observe against a server with workloads and denials.
func TestObserveExchange(t *testing.T) {
	r, err := registry.New(t.Context(), memstore.New(), registry.Options{OwnNamespace: "drey-system", Namespaces: []string{"team-a", "team-b"}})
	if err != nil {
		t.Fatal(err)
	}
	createTargets(t, r, "team-a/prod/flink", "team-b/prod/flink", "team-a/new/missing")
	server := httptest.NewServer(rest.New(rest.Options{Registry: r, Log: slog.New(slog.DiscardHandler), Inventory: observedWorkloads(), Denials: observedDenials(), Readiness: func(platformNamespace, target, kubernetesNamespace string) (registry.Readiness, bool) {
		if kubernetesNamespace == "missing" {
			return registry.Readiness{Reason: "NamespaceMissing", Message: `Kubernetes namespace "missing" does not exist: kubectl create namespace missing`}, true
		}
		return registry.Readiness{Ready: true, Reason: "Registered"}, platformNamespace == "team-a" && target == "prod"
	}}))
	t.Cleanup(server.Close)
	(&exchange.Player{URL: server.URL, Update: *update}).Play(t, "testdata/observe/observe.http")
}

// createTargets creates targets: PLATFORM-NAMESPACE/NAME/KUBERNETES-NAMESPACE.
func createTargets(t testing.TB, r *registry.Registry, all ...string) {
	t.Helper()
	for _, text := range all {
		part := strings.Split(text, "/")
		o := registry.Object{Kind: registry.DeploymentTarget, Metadata: registry.Metadata{Namespace: part[0], Name: part[1]}, Spec: fmt.Appendf(nil, `{"kubernetes":{"namespace":%q}}`, part[2])}
		if _, err := r.Create(t.Context(), o, nil); err != nil {
			t.Fatal(err)
		}
	}
}

func newServer(t testing.TB) *httptest.Server {
	t.Helper()
	return newServerWith(t, registry.Options{OwnNamespace: "drey-system", Namespaces: []string{"team-a"}})
}

func newServerWith(t testing.TB, o registry.Options) *httptest.Server {
	t.Helper()
	r, err := registry.New(t.Context(), memstore.New(), o)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(rest.New(rest.Options{
		Registry: r, Log: slog.New(slog.DiscardHandler),
		Build: rest.Build{Version: "v1.2.3", Time: "2026-03-01T00:00:00Z", Commit: "0123456789abcdef0123456789abcdef01234567"},
	}))
	t.Cleanup(server.Close)
	return server
}

// observedWorkloads has workloads of two platform namespaces, and a misplaced one.
func observedWorkloads() *inventory.Inventory {
	since := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	v := inventory.New()
	v.Put(inventory.Workload{
		Namespace: "flink", PlatformNamespace: "team-a", Target: "prod", Owner: inventory.Owner{Kind: "FlinkDeployment", Name: "orders", UID: "a1"}, Flavor: "native", Mode: "application", State: "Running",
		Kind: "Deployment", Name: "orders", ID: "a1", JobID: "job-of-orders", Pods: 3, PodsReady: 2, Requests: inventory.Resources{MilliCPU: 1500, Memory: 3 << 30},
		Use: &inventory.Resources{MilliCPU: 700, Memory: 2 << 30}, Since: since,
	})
	v.Put(inventory.Workload{
		Namespace: "flink", PlatformNamespace: "team-b", Target: "prod", Owner: inventory.Owner{Kind: "Deployment", Name: "sql-jobmanager", UID: "b1"}, Flavor: "docs", Mode: "session", State: "Running",
		Kind: "SessionCluster", Name: "sql", ID: "b1", Pods: 2, PodsReady: 2, Requests: inventory.Resources{MilliCPU: 500, Memory: 1 << 30}, Since: since, MissingLabels: []string{"sessionClusterId"},
	})
	v.Put(inventory.Workload{Namespace: "default", Owner: inventory.Owner{Kind: "Deployment", Name: "stray"}, Pods: 1, Since: since, Misplaced: true})
	v.SetSynced()
	return v
}

// observedDenials has a denial of team-a, and one without a platform namespace.
func observedDenials() *denials.History {
	h := denials.NewHistory("drey-0", nil)
	h.Record(denials.Denial{
		User: "alice", Groups: []string{"developers"}, Operation: "CREATE", Kind: "Deployment", Namespace: "default", Name: "stray", Reason: "NoDeploymentTarget",
		Message: "no target. Register it: COMMAND", Remedy: "COMMAND", Mode: "enforce",
	}, "")
	h.Record(denials.Denial{
		User: "bob", Operation: "CREATE", Kind: "Pod", Namespace: "flink", Name: "orders-*", Owner: denials.Owner{Kind: "Deployment", Name: "orders"}, PlatformNamespace: "team-a",
		Reason: "LabelConflict", Message: "conflict", Mode: "audit",
	}, "")
	return h
}
