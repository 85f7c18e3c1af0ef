package e2e

import (
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"

	"drey.dev/drey/test/framework/drey"
)

// TestMetricsAuthorization scrapes as
// ServiceAccounts of the cluster.
func TestMetricsAuthorization(t *testing.T) {
	w := inWorld(t)
	home := w.Namespace(t)
	d, err := drey.Start(t.Context(), drey.Options{Cluster: w.Cluster, Pod: true, DataDir: t.TempDir(), Args: []string{
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
	for _, name := range []string{"prometheus", "stranger"} {
		w.MustKubectl(t, "", "create", "serviceaccount", name, "-n", home)
	}
	w.MustKubectl(t, "", "create", "clusterrole", "read-metrics-"+home, "--verb=get", "--non-resource-url=/metrics")
	w.MustKubectl(t, "", "create", "clusterrolebinding", "read-metrics-"+home, "--clusterrole=read-metrics-"+home, "--serviceaccount="+home+":prometheus")
	t.Cleanup(func() {
		w.RunKubectl(t, "", "delete", "clusterrole/read-metrics-"+home, "clusterrolebinding/read-metrics-"+home) // the cluster goes, too
	})
	token := func(name string, args ...string) string {
		return strings.TrimSpace(w.MustKubectl(t, "", append([]string{"create", "token", name, "-n", home}, args...)...))
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	for rule, c := range map[string]struct {
		path, token string
		status      int
		says        string
	}{
		"who may read them does":              {"/metrics", "Bearer " + token("prometheus"), 200, "drey_targets "},
		"who may not is told what is missing": {"/metrics", "Bearer " + token("stranger"), 403, "drey-metrics"},
		"a token for somebody else is none":   {"/metrics", "Bearer " + token("prometheus", "--audience", "elsewhere"), 401, "kubectl create token"},
		"a stranger's token is none":          {"/metrics", "Bearer nonsense", 401, "kubectl create token"},
		"no token is none":                    {"/metrics", "", 401, "Authorization: Bearer TOKEN"},
		"a password is no token":              {"/metrics", "Basic eDp4", 401, "Authorization: Bearer TOKEN"},
		"nothing else is there":               {"/readyz", "Bearer " + token("prometheus"), 404, ""},
	} {
		t.Run(rule, func(t *testing.T) {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.Metrics+c.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if c.token != "" {
				request.Header.Set("Authorization", c.token)
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
			if response.StatusCode != c.status || !strings.Contains(string(body), c.says) {
				t.Errorf("%s, want %d and %q: %.300s", response.Status, c.status, c.says, body)
			}
		})
	}
	if response, err := http.Get(strings.Replace(d.Metrics, "https:", "http:", 1) + "/metrics"); err == nil {
		defer response.Body.Close()
		if response.StatusCode != http.StatusBadRequest {
			t.Errorf("without TLS: %s", response.Status)
		}
	}
}
