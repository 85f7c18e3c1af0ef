package kubectl

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"drey.dev/drey/certs"
	"drey.dev/drey/test/framework/eventually"
)

// TestDeleteTargetConcurrentReferenceKubectl registers a Deployment after drey has allowed
// the deletion of its target and before the API server deletes it. A second webhook, of
// the test, delays the deletion meanwhile.
func TestDeleteTargetConcurrentReferenceKubectl(t *testing.T) {
	w := sharedWorld(t)
	for moment := range 3 {
		t.Run(fmt.Sprintf("after review %d", moment+1), func(t *testing.T) {
			ns := w.Namespace(t)
			alice := w.admin(t, ns)
			w.MustKubectl(t, targetYAML("staging", "", ns)+objectYAML("Deployment", "other", "state: CANCELLED"), "apply", "-n", ns, "-f", "-")
			eventually.OK(t, func() error {
				if status, failure := alice.call(t, "GET", "/api/v1/namespaces/"+ns+"/deployment-targets/staging", ""); status != 200 {
					return fmt.Errorf("got %d %+v, want 200", status, failure)
				}
				return nil
			})
			answered := make(chan int, 1)
			w.delayDeletions(t, ns, "staging", func(review int) {
				if review == moment {
					status, _ := alice.call(t, "POST", "/api/v1/namespaces/"+ns+"/deployments", `{"metadata":{"name":"job"},"spec":{"deploymentTargetName":"staging"}}`)
					answered <- status
				}
			})
			out, err := w.RunKubectl(t, "", alice.as(ns, "delete", "dt", "staging")...)
			_, gone := w.RunKubectl(t, "", "get", "dt", "staging", "-n", ns)
			created := 0 // there were fewer reviews
			select {
			case created = <-answered:
			default:
				if moment < 2 {
					t.Errorf("got fewer than %d reviews: the reference was not created", moment+1)
				}
			}
			switch {
			case created == 201 && (err == nil || gone != nil):
				t.Errorf("got a deleted target that a Deployment refers to: %v %s", err, out)
			case created == 201 && !strings.Contains(out, `Deployment "job"`):
				t.Errorf("got %s, want a denial that names the Deployment", out)
			case created == 0 && err != nil:
				t.Errorf("got %s, want no denial: nothing refers to the target", out)
			case created != 201 && created != 0:
				t.Errorf("POST of the Deployment: got %d, want 201", created)
			}
			t.Logf("created: %d; deleted: %t", created, err == nil)
		})
	}
}

// delayDeletions registers a webhook for the deletion of targets in a namespace. It calls
// delay once drey has answered the same review; review counts from 0.
func (w *world) delayDeletions(t *testing.T, namespace, target string, delay func(review int)) {
	t.Helper()
	serving, err := certs.NewMemory("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var (
		called   atomic.Bool  // for a dry run: the configuration is in effect
		baseline atomic.Int32 // reviews that drey had answered until then
		reviews  atomic.Int32
	)
	server := &http.Server{TLSConfig: &tls.Config{GetCertificate: serving.GetCertificate}, Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		var review struct {
			Request struct {
				UID    string
				DryRun bool
			}
		}
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			t.Error(err)
		}
		if review.Request.DryRun {
			called.Store(true)
		} else {
			n := reviews.Add(1) - 1
			for deadline := time.Now().Add(25 * time.Second); w.answeredReviews(t) <= baseline.Load()+n; time.Sleep(10 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Errorf("drey has not answered review %d", n+1)
					break
				}
			}
			delay(int(n))
		}
		rw.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(rw, `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","response":{"uid":%q,"allowed":true}}`, review.Request.UID)
	})}
	go server.ServeTLS(listener, "", "")
	configuration, err := json.Marshal(map[string]any{
		"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
		"metadata": map[string]any{"name": "delay-" + namespace},
		"webhooks": []any{map[string]any{
			"name": "delay.example.com", "sideEffects": "None", "admissionReviewVersions": []string{"v1"}, "failurePolicy": "Ignore", "timeoutSeconds": 30,
			"clientConfig":      map[string]any{"url": "https://" + listener.Addr().String() + "/", "caBundle": serving.CABundle()},
			"namespaceSelector": map[string]any{"matchLabels": map[string]any{"kubernetes.io/metadata.name": namespace}},
			"rules":             []any{map[string]any{"apiGroups": []string{"drey.dev"}, "apiVersions": []string{"*"}, "resources": []string{"deploymenttargets"}, "operations": []string{"DELETE"}}},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.MustKubectl(t, string(configuration), "apply", "-f", "-")
	t.Cleanup(func() {
		_ = w.KubectlCommand(context.Background(), "delete", "validatingwebhookconfiguration", "delay-"+namespace).Run()
		server.Close()
	})
	eventually.OK(t, func() error { // until the configuration is in effect
		out, err := w.RunKubectl(t, "", "delete", "dt", target, "-n", namespace, "--dry-run=server")
		if err == nil && !called.Load() {
			err = errors.New("the API server did not call the webhook")
		}
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	baseline.Store(w.answeredReviews(t))
}

var reviewsPattern = regexp.MustCompile(`(?m)^drey_admission_reviews_total\{[^}]*webhook="registry\.drey\.dev"[^}]*\} (\d+)$`)

// answeredReviews returns how many reviews of its own resources drey has answered.
func (w *world) answeredReviews(t *testing.T) (n int32) {
	t.Helper()
	response, err := http.Get(w.drey.Metrics + "/metrics")
	if err != nil {
		t.Error(err)
		return 0
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Error(err)
	}
	for _, found := range reviewsPattern.FindAllSubmatch(text, -1) {
		count, err := strconv.Atoi(string(found[1]))
		if err != nil {
			t.Error(err)
		}
		n += int32(count)
	}
	return n
}
