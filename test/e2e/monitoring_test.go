package e2e

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"drey.dev/drey/test/framework/drey"
	"drey.dev/drey/test/framework/eventually"
	"drey.dev/drey/test/framework/otlpcollector"
	webhookconfig "drey.dev/drey/webhook/config"
)

// TestAlertAndDashboardMetrics compares the expressions of the alerts and the dashboard with
// the metrics and labels that drey exports. It also checks the spans of traced requests.
func TestAlertAndDashboardMetrics(t *testing.T) {
	t.Parallel()
	c := ownCluster(t)
	program, err := buildDrey()
	if err != nil {
		t.Fatal(err)
	}
	traces := otlpcollector.New(t)
	d, err := drey.Start(t.Context(), drey.Options{Program: program, Cluster: c, DataDir: t.TempDir(), Args: []string{
		"--namespace", "default", "--certs", "self-signed", "--install-webhooks=false", "--traces-endpoint", traces.URL, "--traces-ratio", "0",
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err := d.Register(t.Context(), "default", "flink", "flink"); err != nil {
		t.Fatal(err)
	}
	if _, err := kubernetes.NewForConfigOrDie(c.Config()).AdmissionregistrationV1().MutatingWebhookConfigurations().Create(t.Context(),
		webhookconfig.Mutating(webhookconfig.ByURL(d.Webhook, nil, ""), webhookconfig.SystemNamespaces, "drey"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	url := d.Webhook + webhookconfig.PathLabelPods
	eventually.OK(t, func() (err error) { // the leader writes the token
		if url, err = drey.WebhookURL(t.Context(), c, webhookconfig.NameLabelPods); err == nil && url == d.Webhook+webhookconfig.PathLabelPods {
			err = fmt.Errorf("%s has no token", url)
		}
		return err
	})
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	sendReview := func(body string) {
		t.Helper()
		postTraced(t, client, url, body)
	}
	const review = `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"1","operation":"CREATE","namespace":%q,"kind":{"version":"v1","kind":"Pod"},"object":` +
		`{"metadata":{"name":"p","labels":{"app":"my-job","component":"jobmanager","type":"flink-native-kubernetes","deploymentName":"mine"}},"spec":{"containers":[{"name":"flink-main-container","image":"flink:2.2"}]}}}}`
	sendReview(fmt.Sprintf(review, "flink"))
	sendReview(fmt.Sprintf(review, "elsewhere"))
	sendReview("no review")
	namespace := c.Namespace(t)
	if err := d.Register(t.Context(), "default", namespace, namespace); err != nil {
		t.Fatal(err)
	}
	pods := kubernetes.NewForConfigOrDie(c.Config()).CoreV1().Pods(namespace)
	if _, err := pods.Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "workload", Labels: map[string]string{"system": "ververica-platform", "component": "jobmanager", "type": "flink-native-kubernetes"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "flink-main-container", Image: "flink:2.2"}}},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually.OK(t, func() error {
		if metrics := scrape(t, d.Metrics+"/metrics"); metrics["workqueue_depth"] == nil || metrics["drey_certificate_expiry_timestamp_seconds"] == nil || metrics["drey_workloads"] == nil {
			return fmt.Errorf("workqueue_depth, drey_certificate_expiry_timestamp_seconds or drey_workloads is missing")
		}
		return nil
	})
	exported := scrape(t, d.Metrics+"/metrics")
	text := readMetrics(t, d.Metrics+"/metrics")
	for _, part := range []string{
		`workqueue_adds_total{controller="drey-repair",`, `workqueue_adds_total{controller="drey-repair-scans",`, `workqueue_work_duration_seconds_bucket{controller="drey-namespace-labels",`,
		`drey_build_info{goversion="go`,
	} {
		if !strings.Contains(text, part) {
			t.Errorf("metrics: got no %s", part)
		}
	}
	eventually.OK(t, func() error { // spans are sent in batches, every two seconds
		review, ok := traces.Find("label-pods.drey.dev")
		lookup, too := traces.Find("owners")
		if !ok || !too || review.Trace != traceID || lookup.Trace != traceID || review.Attributes["drey.verdict"] != "HasTarget" || lookup.Attributes["k8s.namespace.name"] != "flink" || review.Attributes["service.name"] != "drey" {
			return fmt.Errorf("spans of a review: got %+v and %+v", review, lookup)
		}
		return nil
	})
	if span, ok := traces.Find("REST POST"); ok {
		t.Errorf("REST request without a traceparent: got the span %+v, want none", span)
	}
	postTraced(t, http.DefaultClient, d.REST+"/api/v1/namespaces/default/deployment-targets", `{"metadata":{"name":"traced"},"spec":{"kubernetes":{"namespace":"elsewhere"}}}`)
	eventually.OK(t, func() error { // down to the request that labels the namespace
		request, _ := traces.Find("REST POST")
		write, _ := traces.Find("store create")
		patch, _ := traces.Find("API PATCH")
		if request.Trace != traceID || write.Parent != request.ID || patch.Parent != request.ID || patch.Attributes["url.path"] != "/api/v1/namespaces/elsewhere" {
			return fmt.Errorf("spans of a registration: got %+v, %+v and %+v", request, write, patch)
		}
		return nil
	})

	used := map[string]bool{}
	for place, expr := range expressions(t) {
		names := regexp.MustCompile(`\b(?:drey|process|workqueue|leader_election)_[a-z_]+`).FindAllString(expr, -1)
		if len(names) == 0 {
			t.Errorf("%s: no metric of drey in %s", place, expr)
		}
		labels := []string{"le", "instance"} // of histograms, and of Prometheus
		for _, name := range names {
			used[name] = true
			exportedLabels, ok := exported[name]
			if !ok {
				t.Errorf("%s: drey does not export %s", place, name)
			}
			labels = append(labels, exportedLabels...)
		}
		for _, match := range regexp.MustCompile(`(?:by|on) \(([^)]*)\)|([a-z]+)=~?"`).FindAllStringSubmatch(expr, -1) {
			for label := range strings.SplitSeq(match[1]+match[2], ",") {
				if label = strings.TrimSpace(label); !slices.Contains(labels, label) {
					t.Errorf("%s: none of %v has the label %q: %s", place, names, label, expr)
				}
			}
		}
	}
	for name := range exported {
		if base := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(name, "_bucket"), "_sum"), "_count"); strings.HasPrefix(name, "drey_") && !used[name] && !used[base+"_bucket"] {
			t.Errorf("neither an alert nor the dashboard uses %s", name)
		}
	}
}

// traceID is the trace of requests by [postTraced].
const traceID = "4bf92f3577b34da6a3ce929d0e0e4736"

// postTraced sends a POST request with a traceparent that is sampled.
func postTraced(t *testing.T, client *http.Client, url, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Traceparent", "00-"+traceID+"-00f067aa0ba902b7-01")
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
}

// expressions returns the PromQL expressions of the alerts and of the dashboard, by alert and
// panel.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	read := func(file string, into any) {
		text, err := os.ReadFile("../../manifests/chart/files/" + file)
		if err == nil {
			err = yaml.UnmarshalStrict(text, into)
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	all := map[string]string{}
	var alerts struct {
		Groups []struct {
			Name  string `json:"name"`
			Rules []struct {
				Alert       string            `json:"alert"`
				Expr        string            `json:"expr"`
				For         string            `json:"for"`
				Labels      map[string]string `json:"labels"`
				Annotations map[string]string `json:"annotations"`
			} `json:"rules"`
		} `json:"groups"`
	}
	read("alerts.yaml", &alerts)
	runbook, err := os.ReadFile("../../docs/how-to/alerts.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range alerts.Groups {
		for _, r := range g.Rules {
			all["alert "+r.Alert] = r.Expr
			if r.Labels["severity"] == "" || r.Annotations["summary"] == "" || r.Annotations["description"] == "" || r.For == "" {
				t.Errorf("alert %s: want for, the label severity, and the annotations summary and description", r.Alert)
			}
			if _, anchor, _ := strings.Cut(r.Annotations["runbook_url"], "/docs/how-to/alerts#"); anchor != strings.ToLower(r.Alert) || !strings.Contains(string(runbook), "\n## "+r.Alert+"\n") {
				t.Errorf("alert %s: the runbook_url is %q, want its section of docs/how-to/alerts.md", r.Alert, r.Annotations["runbook_url"])
			}
		}
	}
	text, err := os.ReadFile("../../manifests/chart/files/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			ID      int
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&dashboard); err != nil {
		t.Fatal(err)
	}
	for _, p := range dashboard.Panels {
		for i, target := range p.Targets {
			all[fmt.Sprintf("panel %q %d", p.Title, i)] = target.Expr
		}
	}
	if len(all) < 20 {
		t.Errorf("expressions: got %d, want at least 20", len(all))
	}
	return all
}

// readMetrics returns metrics in Prometheus' text format.
func readMetrics(t *testing.T, url string) string {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// scrape returns the label names of each metric.
func scrape(t *testing.T, url string) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for line := range strings.Lines(readMetrics(t, url)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		series, _, _ := strings.Cut(line, " ")
		name, labels, _ := strings.Cut(series, "{")
		all[name] = []string{}
		for _, found := range regexp.MustCompile(`([a-z_]+)="`).FindAllStringSubmatch(labels, -1) {
			all[name] = append(all[name], found[1])
		}
	}
	return all
}
