package e2e

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"drey.dev/drey/webhook/config"
)

// TestReadyKnowsIDs starts drey in a cluster with 400 FlinkDeployments, 20 MB together. Once
// drey is ready, its webhook denies a pod with the UID of any of them as an id.
func TestReadyKnowsIDs(t *testing.T) {
	t.Parallel()
	c := ownCluster(t)
	elsewhere, namespace := c.Namespace(t), c.Namespace(t)
	api, err := adminClient(c)
	if err != nil {
		t.Fatal(err)
	}
	uids := make([]types.UID, 400)
	var creations sync.WaitGroup
	for worker := range 8 {
		creations.Go(func() {
			for i := worker; i < len(uids); i += 8 {
				o := &unstructured.Unstructured{Object: map[string]any{
					"apiVersion": "flink.apache.org/v1beta1", "kind": "FlinkDeployment", "metadata": map[string]any{"name": fmt.Sprint("job-", i)},
					"spec": map[string]any{"job": map[string]any{}, "flinkConfiguration": map[string]any{"env.java.opts": strings.Repeat("-Da=b ", 50<<10/6)}},
				}}
				created, err := api.Resource(resources["FlinkDeployment"]).Namespace(elsewhere).Create(t.Context(), o, metav1.CreateOptions{})
				if err != nil {
					t.Error(err)
					return
				}
				uids[i] = created.GetUID()
			}
		})
	}
	creations.Wait()
	if t.Failed() {
		return
	}
	w, err := newWorld(t.Context(), c, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w.stopAtEnd(t)
	w.register(t, "team-a", namespace)
	webhook := w.webhookHandler(t, config.NameLabelPods)
	denial := func(uid types.UID) string {
		return review(t, webhook, "Pod", namespace, map[string]any{
			"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": "a", "labels": map[string]any{"type": "flink-native-kubernetes", "component": "jobmanager", "deploymentId": string(uid)}},
			"spec": map[string]any{"containers": []any{map[string]any{"name": "flink-main-container", "image": "flink:2.2"}}},
		}, true).denial()
	}
	allowed := 0
	for _, uid := range uids {
		switch text := denial(uid); {
		case text == "":
			allowed++
		case !strings.Contains(text, "that id belongs to another object"):
			t.Fatalf("denied for another reason: %s", text)
		}
	}
	if allowed > 0 {
		t.Errorf("%d of %d pods with a foreign id were admitted", allowed, len(uids))
	}
	if text := denial("11111111-2222-4333-8444-555555555555"); text != "" {
		t.Errorf("an id of no object: %s", text)
	}
}

// webhookHandler forwards requests to a webhook of drey, at the URL that the API server calls.
func (w *world) webhookHandler(t testing.TB, name string) http.Handler {
	t.Helper()
	target, err := url.Parse(w.webhookURL(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.Out.URL = target },
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
	}
}

// denial returns the message of a denial; empty if the object is allowed.
func (r response) denial() string {
	if r.Allowed {
		return ""
	}
	return r.Status.Message
}
