package e2e

import (
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"

	"drey.dev/drey/test/framework/drey"
)

// TestMetricsAuthorization scrapes /metrics on the address of the pod with tokens of
// ServiceAccounts: the RBAC of the cluster authorizes them.
func TestMetricsAuthorization(t *testing.T) {
	w := sharedWorld(t) // not parallel: a second drey follows the cluster
	program, err := buildDrey()
	if err != nil {
		t.Fatal(err)
	}
	home := w.Namespace(t)
	d, err := drey.Start(t.Context(), drey.Options{Program: program, Cluster: w.Cluster, Pod: true, DataDir: t.TempDir(), Args: []string{
		"--install-webhooks=false", "--certs", "memory", "--shutdown-delay", "0s", "--namespace", home,
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Stop(); err != nil {
			t.Error(err)
		}
	})
	for _, name := range []string{"prometheus", "unauthorized"} {
		w.MustKubectl(t, "", "create", "serviceaccount", name, "-n", home)
	}
	w.MustKubectl(t, "", "create", "clusterrole", "read-metrics-"+home, "--verb=get", "--non-resource-url=/metrics")
	w.MustKubectl(t, "", "create", "clusterrolebinding", "read-metrics-"+home, "--clusterrole=read-metrics-"+home, "--serviceaccount="+home+":prometheus")
	t.Cleanup(func() {
		w.RunKubectl(t, "", "delete", "clusterrole/read-metrics-"+home, "clusterrolebinding/read-metrics-"+home) // best effort
	})
	token := func(name string, args ...string) string {
		return strings.TrimSpace(w.MustKubectl(t, "", append([]string{"create", "token", name, "-n", home}, args...)...))
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	for rule, c := range map[string]struct {
		path, authorization string
		status              int
		body                string // contains this
	}{
		"authorized":                 {"/metrics", "Bearer " + token("prometheus"), 200, "drey_targets "},
		"unauthorized":               {"/metrics", "Bearer " + token("unauthorized"), 403, "drey-metrics"},
		"token for another audience": {"/metrics", "Bearer " + token("prometheus", "--audience", "elsewhere"), 401, "kubectl create token"},
		"invalid token":              {"/metrics", "Bearer nonsense", 401, "kubectl create token"},
		"no token":                   {"/metrics", "", 401, "Authorization: Bearer TOKEN"},
		"basic authentication":       {"/metrics", "Basic eDp4", 401, "Authorization: Bearer TOKEN"},
		"other paths":                {"/readyz", "Bearer " + token("prometheus"), 404, ""},
	} {
		t.Run(rule, func(t *testing.T) {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.Metrics+c.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if c.authorization != "" {
				request.Header.Set("Authorization", c.authorization)
			}
			response, err := (&http.Client{Transport: transport}).Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			if response.StatusCode != c.status || !strings.Contains(string(body), c.body) {
				t.Errorf("got %s: %.300s, want %d and %q", response.Status, body, c.status, c.body)
			}
		})
	}
	if response, err := http.Get(strings.Replace(d.Metrics, "https:", "http:", 1) + "/metrics"); err == nil {
		defer response.Body.Close()
		if response.StatusCode != http.StatusBadRequest {
			t.Errorf("without TLS: got %s, want 400", response.Status)
		}
	}
}
