package prometheus

import (
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery/kubernetes"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"

	"drey.dev/drey/test/framework/page"
)

// TestDocumentedScrapeConfiguration: Prometheus loads the documented configuration. It discovers
// the metrics port of drey's Service, and verifies its certificate.
func TestDocumentedScrapeConfiguration(t *testing.T) {
	blocks, err := page.CheckedBy("../..", t.Name())
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range blocks {
		c, err := config.Load(text, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		jobs, err := c.GetScrapeConfigs()
		if err != nil || len(jobs) != 1 {
			t.Fatalf("%s: got %d jobs, %v, want 1", path, len(jobs), err)
		}
		job := jobs[0]
		if name, want := job.HTTPClientConfig.TLSConfig.ServerName, "drey.drey-system.svc"; name != want {
			t.Errorf("%s: got the server name %q, want %q of the serving certificate", path, name, want)
		}
		discovery := job.ServiceDiscoveryConfigs[0].(*kubernetes.SDConfig)
		if discovery.Role != kubernetes.RoleEndpointSlice || discovery.NamespaceDiscovery.Names[0] != "drey-system" {
			t.Errorf("%s: got the discovery %+v, want the EndpointSlices of drey-system", path, discovery)
		}
		manifest, err := os.ReadFile("../../manifests/base/server.yaml")
		if err != nil {
			t.Fatal(err)
		}
		_, service, _ := strings.Cut(string(manifest), "kind: Service\n")
		service, _, _ = strings.Cut(service, "---")
		ports := regexp.MustCompile(`(?m)^ +- name: (\w+)$`).FindAllStringSubmatch(service, -1)
		var kept []string
		for _, port := range ports {
			b := labels.NewBuilder(labels.FromStrings("__meta_kubernetes_endpointslice_port_name", port[1]))
			if relabel.ProcessBuilder(b, job.RelabelConfigs...) {
				kept = append(kept, port[1])
			}
		}
		if strings.Join(kept, " ") != "metrics" {
			t.Errorf("%s: keeps the ports %q of %q, want metrics", path, kept, ports)
		}
		if len(c.RuleFiles) != 1 || filepath.Base(c.RuleFiles[0]) != "drey-alerts.yaml" {
			t.Errorf("%s: got the rule files %q, want the copied alerts", path, c.RuleFiles)
		}
	}
}
