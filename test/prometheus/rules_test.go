// Package prometheus evaluates the alerts and recording rules with the engine of Prometheus, on
// series as drey and kube-state-metrics export them.
package prometheus

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/rules"
)

const (
	alertFile     = "../../manifests/chart/files/alerts.yaml"
	recordingFile = "../../manifests/chart/files/recording-rules.yaml"
	interval      = time.Minute // of scrapes and evaluations
)

// result is the outcome of an evaluation: alerts that fire, and recorded series, in the text form of
// Prometheus.
type result []string

// evaluate loads series and evaluates the rules of a file each minute for a time. Each series is a
// line in the notation of promtool test rules.
func evaluate(t *testing.T, file string, during time.Duration, series string) result {
	t.Helper()
	storage := promqltest.LoadedStorage(t, "load 1m\n"+indent(series))
	t.Cleanup(func() { _ = storage.Close() }) // in memory
	p := parser.NewParser(parser.Options{})
	engine := promqltest.NewTestEngine(t, false, 5*time.Minute, 1_000_000)
	manager := rules.NewManager(&rules.ManagerOptions{
		QueryFunc: rules.EngineQueryFunc(engine, storage), AppendableV2: storage, Queryable: storage, Context: t.Context(), Logger: slog.New(slog.DiscardHandler),
		NotifyFunc: func(context.Context, string, ...*rules.Alert) {}, Registerer: prometheus.NewRegistry(), Parser: p,
	})
	groups, errs := manager.LoadGroups(interval, labels.EmptyLabels(), "", nil, false, file)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	var found result
	for at := time.Duration(0); at <= during; at += interval {
		found = nil
		now := time.Unix(0, 0).Add(at)
		for _, g := range groups {
			g.Eval(t.Context(), now)
			for _, r := range g.Rules() {
				if err := r.LastError(); err != nil {
					t.Fatalf("%s: %v", r.Name(), err)
				}
				switch r := r.(type) {
				case *rules.AlertingRule:
					for _, a := range r.ActiveAlerts() {
						if a.State == rules.StateFiring {
							found = append(found, r.Name()+": "+a.Annotations.Get("summary"))
						}
					}
				case *rules.RecordingRule:
					vector, err := rules.EngineQueryFunc(engine, storage)(t.Context(), r.Name(), now)
					if err != nil {
						t.Fatal(err)
					}
					found = append(found, texts(vector)...)
				}
			}
		}
	}
	slices.Sort(found)
	return found
}

func indent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			b.WriteString("  " + line + "\n")
		}
	}
	return b.String()
}

func texts(v promql.Vector) (all []string) {
	for _, s := range v {
		all = append(all, fmt.Sprintf("%s %g", s.Metric, s.F))
	}
	return all
}

// TestRuleFiles: Prometheus accepts the files, and no rule is twice in them.
func TestRuleFiles(t *testing.T) {
	for _, file := range []string{alertFile, recordingFile} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		groups, errs := rulefmt.Parse(text, false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
		if len(errs) > 0 {
			t.Fatalf("%s: %v", file, errs)
		}
		seen := map[string]bool{}
		for _, g := range groups.Groups {
			for _, r := range g.Rules {
				name := r.Alert + r.Record
				if seen[name] {
					t.Errorf("%s: %s is twice", file, name)
				}
				seen[name] = true
			}
		}
	}
}

// healthy are the series of an installation without a fault, for 90 minutes, by the alert that they
// are about.
var healthy = map[string]string{
	"DreyDown": `drey_targets{pod="a"} 3x90`,
	"DreyNoLeader": `leader_election_master_status{name="drey",pod="a"} 1x90
		leader_election_master_status{name="drey",pod="b"} 0x90
		leader_election_master_status{name="drey-certs",pod="b"} 1x90`,
	"DreyCertificateExpiration": `drey_certificate_expiry_timestamp_seconds{certificate="serving"} 7776000x90
		drey_certificate_last_rotation_timestamp_seconds{certificate="serving"} 0x90`,
	"DreyHighWebhookLatency": buckets(100, 100, 100),
	"DreyInvalidRequests":    `drey_admission_invalid_requests_total{webhook="label-pods.drey.dev",code="400"} 7x90`,
	"DreyHighDenialRate":     `drey_admission_denials_total{webhook="workloads.drey.dev",reason="NoDeploymentTarget",mode="enforce"} 0+6x90`,
	"DreyPodsUnlabeled":      "drey_unlabeled_pods 0+0x10 5 0x80",
	"DreyRepairFailing":      "drey_repair_failures_total 0x30 1x60",
	"DreyLabelConflicts":     "drey_label_conflicts 0x90",
	"DreyRESTErrorRate": `drey_rest_requests_total{route="/a",method="GET",code="200"} 0+100x90
		drey_rest_requests_total{route="/a",method="GET",code="503"} 0+4x90`,
}

// buckets returns a histogram whose buckets 0.1 s, 0.5 s and 1 s grow so per minute.
func buckets(perMinute ...int) string {
	var b strings.Builder
	for i, le := range []string{"0.1", "0.5", "1"} {
		fmt.Fprintf(&b, "drey_admission_duration_seconds_bucket{webhook=\"label-pods.drey.dev\",le=%q} 0+%dx90\n", le, perMinute[i])
	}
	fmt.Fprintf(&b, "drey_admission_duration_seconds_bucket{webhook=\"label-pods.drey.dev\",le=\"+Inf\"} 0+%dx90", perMinute[2])
	return b.String()
}

// TestAlerts: each alert fires on its fault, alone, and none fires without one.
func TestAlerts(t *testing.T) {
	t.Run("healthy", func(t *testing.T) {
		if got := evaluate(t, alertFile, 90*time.Minute, all(healthy)); len(got) > 0 {
			t.Errorf("fires: %q", got)
		}
	})
	tested := map[string]bool{}
	for _, test := range []struct{ alert, series, summary string }{
		{"DreyDown", "", "No drey replica is up"},
		{"DreyNoLeader", `leader_election_master_status{name="drey",pod="a"} 0x90
			leader_election_master_status{name="drey-certs",pod="b"} 1x90`, "drey has no leader"},
		{"DreyCertificateExpiration", `drey_certificate_expiry_timestamp_seconds{certificate="serving"} 5400x90
			drey_certificate_last_rotation_timestamp_seconds{certificate="serving"} 0x90`, "expires in less than a quarter of its lifetime"},
		{"DreyHighWebhookLatency", buckets(50, 90, 100), "The 99th percentile of the latency of label-pods.drey.dev exceeds half a second."},
		{"DreyInvalidRequests", `drey_admission_invalid_requests_total{webhook="label-pods.drey.dev",code="400"} 0+1x90`, "label-pods.drey.dev receives requests that are no AdmissionReview (HTTP 400)."},
		{"DreyHighDenialRate", `drey_admission_denials_total{webhook="workloads.drey.dev",reason="NoDeploymentTarget",mode="enforce"} 0+8x90`, "denied a hundred workloads in 15 minutes: NoDeploymentTarget (enforce)."},
		{"DreyPodsUnlabeled", "drey_unlabeled_pods 2x90", "have lacked labels for 15 minutes"},
		{"DreyRepairFailing", "drey_repair_failures_total 0+1x90", "keeps failing"},
		{"DreyLabelConflicts", "drey_label_conflicts{pod=\"a\"} 2x90\ndrey_label_conflicts{pod=\"b\"} 0x90", "Objects with the id or the platform namespace of another: 2."},
		{"DreyRESTErrorRate", `drey_rest_requests_total{route="/a",method="GET",code="200"} 0+100x90
			drey_rest_requests_total{route="/a",method="GET",code="500"} 0+9x90`, "one in twenty REST requests"},
	} {
		t.Run(test.alert, func(t *testing.T) {
			series := maps.Clone(healthy)
			series[test.alert] = test.series
			got := evaluate(t, alertFile, 90*time.Minute, all(series))
			if len(got) != 1 || !strings.HasPrefix(got[0], test.alert+": ") || !strings.Contains(got[0], test.summary) {
				t.Errorf("fires %q, want %s with %q", got, test.alert, test.summary)
			}
		})
		tested[test.alert] = true
	}
	text, err := os.ReadFile(alertFile)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if _, name, ok := strings.Cut(strings.TrimSpace(line), "- alert: "); ok && !tested[name] {
			t.Errorf("%s has no test", name)
		}
	}
}

func all(series map[string]string) string {
	return strings.Join(slices.Collect(maps.Values(series)), "\n")
}

// TestRecordingRules: requests are summed up by drey's labels, with all containers of a pod, and
// without pods that drey has not labeled.
func TestRecordingRules(t *testing.T) {
	const series = `kube_pod_labels{namespace="flink",pod="orders-1",label_system="ververica-platform",label_vvp_namespace="team-a",label_deployment_name="orders"} 1x10
		kube_pod_labels{namespace="flink",pod="orders-2",label_system="ververica-platform",label_vvp_namespace="team-a",label_deployment_name="orders"} 1x10
		kube_pod_labels{namespace="flink",pod="sql-1",label_system="ververica-platform",label_vvp_namespace="team-b",label_session_cluster_name="sql"} 1x10
		kube_pod_labels{namespace="web",pod="nginx"} 1x10
		kube_pod_container_resource_requests{namespace="flink",pod="orders-1",container="main",resource="cpu",unit="core"} 2x10
		kube_pod_container_resource_requests{namespace="flink",pod="orders-1",container="log",resource="cpu",unit="core"} 0.5x10
		kube_pod_container_resource_requests{namespace="flink",pod="orders-1",container="main",resource="memory",unit="byte"} 4096x10
		kube_pod_container_resource_requests{namespace="flink",pod="orders-2",container="main",resource="cpu",unit="core"} 1x10
		kube_pod_container_resource_requests{namespace="flink",pod="sql-1",container="main",resource="memory",unit="byte"} 1024x10
		kube_pod_container_resource_requests{namespace="web",pod="nginx",container="nginx",resource="cpu",unit="core"} 64x10`
	got := evaluate(t, recordingFile, 5*time.Minute, series)
	want := result{
		`{__name__="drey:requested_cpu_cores:sum", label_deployment_name="orders", label_vvp_namespace="team-a", namespace="flink"} 3.5`,
		`{__name__="drey:requested_memory_bytes:sum", label_deployment_name="orders", label_vvp_namespace="team-a", namespace="flink"} 4096`,
		`{__name__="drey:requested_memory_bytes:sum", label_session_cluster_name="sql", label_vvp_namespace="team-b", namespace="flink"} 1024`,
	}
	got = slices.DeleteFunc(got, func(s string) bool { return strings.Contains(s, "drey:pod_identity") })
	if !slices.Equal(got, want) {
		t.Errorf("recorded\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestExportedLabels: the flag of kube-state-metrics in the documents exports the labels that the
// rules read, which kube-state-metrics writes in snake case.
func TestExportedLabels(t *testing.T) {
	rulesText, err := os.ReadFile(recordingFile)
	if err != nil {
		t.Fatal(err)
	}
	read := map[string]bool{}
	for _, name := range regexp.MustCompile(`label_\w+`).FindAllString(string(rulesText), -1) {
		read[name] = true
	}
	flag := regexp.MustCompile(`--metric-labels-allowlist=pods=\[([\w,]+)\]`)
	for _, file := range []string{recordingFile, "../../docs/how-to/prometheus.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := flag.FindSubmatch(text)
		if found == nil {
			t.Fatalf("%s does not name the flag", file)
		}
		exported := map[string]bool{}
		for key := range strings.SplitSeq(string(found[1]), ",") {
			exported["label_"+strings.ToLower(regexp.MustCompile(`([a-z])([A-Z])`).ReplaceAllString(key, "${1}_${2}"))] = true
		}
		if !maps.Equal(exported, read) {
			t.Errorf("%s exports %v, the rules read %v", file, exported, read)
		}
	}
}

// TestDashboardExpressions: Prometheus parses the expressions of the dashboard.
func TestDashboardExpressions(t *testing.T) {
	text, err := os.ReadFile("../../manifests/chart/files/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	expressions := regexp.MustCompile(`"expr": *"((?:[^"\\]|\\.)*)"`).FindAllSubmatch(text, -1)
	if len(expressions) < 10 {
		t.Fatalf("%d expressions", len(expressions))
	}
	for _, found := range expressions {
		var expression string
		if err := json.Unmarshal(fmt.Appendf(nil, `"%s"`, found[1]), &expression); err != nil {
			t.Fatal(err)
		}
		expression = strings.NewReplacer("$__rate_interval", "5m", "$__range", "1h").Replace(expression)
		if _, err := parser.NewParser(parser.Options{}).ParseExpr(expression); err != nil {
			t.Errorf("%s: %v", expression, err)
		}
	}
}
