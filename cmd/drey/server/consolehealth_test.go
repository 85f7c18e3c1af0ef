package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"drey.dev/drey/manifests/bundle"
)

// TestConsoleHealth checks what the console shows of the installation, and that it shows the rest
// if a part cannot be read.
func TestConsoleHealth(t *testing.T) {
	const (
		lease      = "/apis/coordination.k8s.io/v1/namespaces/drey-system/leases/" + leaseControllers
		deployment = "/apis/apps/v1/namespaces/drey-system/deployments/" + bundle.Name
		pods       = "/api/v1/namespaces/drey-system/pods"
	)
	ready := map[string]any{"conditions": []any{map[string]any{"type": "Ready", "status": "True"}}}
	pod := func(name string, status map[string]any) map[string]any {
		return map[string]any{"metadata": map[string]any{"name": name}, "status": status}
	}
	installed := map[string]any{
		lease:      map[string]any{"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": map[string]any{"holderIdentity": "drey-1_uuid", "acquireTime": "2026-01-02T03:04:05.000000Z"}},
		deployment: map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "spec": map[string]any{"replicas": 2, "selector": map[string]any{"matchLabels": map[string]any{"app": "drey"}}}},
		pods:       map[string]any{"apiVersion": "v1", "kind": "PodList", "items": []any{pod("drey-1", ready), pod("drey-2", nil)}},
	}
	for rule, c := range map[string]struct {
		fail map[string]int // status codes by path
		want string
	}{
		"installed":             {nil, "wanted 2, leader drey-1 since 2026, [drey-1 leader ready self] [drey-2] "},
		"no lease":              {map[string]int{lease: 404}, "wanted 2, leader  since 1, [drey-1 ready self] [drey-2] "},
		"lease forbidden":       {map[string]int{lease: 403}, "wanted 2, leader  since 1, [drey-1 ready self] [drey-2] leader: "},
		"outside a cluster":     {map[string]int{deployment: 404}, "wanted 0, leader drey-1 since 2026, "},
		"replicas not readable": {map[string]int{deployment: 403}, "wanted 0, leader drey-1 since 2026, replicas: "},
		"pods not readable":     {map[string]int{pods: 403}, "wanted 2, leader drey-1 since 2026, replicas: "},
	} {
		t.Run(rule, func(t *testing.T) {
			api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				if code := c.fail[r.URL.Path]; code != 0 {
					w.WriteHeader(code)
					reason := map[int]metav1.StatusReason{403: metav1.StatusReasonForbidden, 404: metav1.StatusReasonNotFound}[code]
					_ = json.NewEncoder(w).Encode(metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: "Failure", Code: int32(code), Reason: reason})
					return
				}
				_ = json.NewEncoder(w).Encode(installed[r.URL.Path])
			}))
			defer api.Close()
			s := &server{cluster: &rest.Config{Host: api.URL, ContentConfig: rest.ContentConfig{ContentType: "application/json"}}}
			s.options.config.Namespace = "drey-system"
			h := newHealthReader(s)
			h.host = "drey-1"
			h.refresh()
			<-h.first
			found := h.read(t.Context())
			got := fmt.Sprintf("wanted %d, leader %s since %d, ", found.Wanted, found.Leader, found.LeaderSince.Year())
			for _, r := range found.Replicas {
				words := []string{r.Name}
				if r.Leader {
					words = append(words, "leader")
				}
				if r.Ready {
					words = append(words, "ready")
				}
				if r.Self {
					words = append(words, "self")
				}
				got += fmt.Sprint(words) + " "
			}
			if got += found.Unreadable; !strings.HasPrefix(got, c.want) || !found.Cluster || found.NotReady == "" {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}
