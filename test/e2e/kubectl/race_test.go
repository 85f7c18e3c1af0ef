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

// TestDeleteTargetConcurrentReferenceKubectl forces the worst moments: drey
// has looked, and found nothing that refers to the target; before the API server
// deletes it, somebody registers a Deployment that does. Another webhook holds up
// the deletion for that.
func TestDeleteTargetConcurrentReferenceKubectl(t *testing.T) {
	w := inWorld(t)
	for moment := range 3 {
		t.Run(fmt.Sprintf("when_it_is_looked_at_for_the_%d._time", moment+1), func(t *testing.T) {
			ns := w.Namespace(t)
			alice := w.admin(t, ns)
			w.MustKubectl(t, targetYAML("staging", "", ns)+objectYAML("Deployment", "other", "state: CANCELLED"), "apply", "-n", ns, "-f", "-")
			eventually.OK(t, 20*time.Second, func() error {
				if status, said := alice.call(t, "GET", "/api/v1/namespaces/"+ns+"/deployment-targets/staging", ""); status != 200 {
					return fmt.Errorf("%d %+v", status, said)
				}
				return nil
			})
			answered := make(chan int, 1)
			w.holdUpDeletions(t, ns, "staging", func(look int) {
				if look == moment {
					status, _ := alice.call(t, "POST", "/api/v1/namespaces/"+ns+"/deployments", `{"metadata":{"name":"job"},"spec":{"deploymentTargetName":"staging"}}`)
					answered <- status
				}
			})
			out, err := w.RunKubectl(t, "", alice.as(ns, "delete", "dt", "staging")...)
			_, gone := w.RunKubectl(t, "", "get", "dt", "staging", "-n", ns)
			created := 0 // it was not looked at that often
			select {
			case created = <-answered:
			default:
				if moment < 2 {
					t.Error("nobody tried to refer to it: nothing was tested")
				}
			}
			switch {
			case created == 201 && (err == nil || gone != nil):
				t.Errorf("the target was deleted under a Deployment: %v %s", err, out)
			case created == 201 && !strings.Contains(out, `Deployment "job"`):
				t.Errorf("refused without saying why: %s", out)
			case created == 0 && err != nil:
				t.Errorf("nothing referred to it: %s", out)
			case created != 201 && created != 0:
				t.Errorf("the Deployment was answered with %d", created)
			}
			t.Logf("created: %d; deleted: %t", created, err == nil)
		})
	}
}

// holdUpDeletions has the API server ask the test too before it deletes a target
// of a namespace. hold is called when drey has answered; look counts from 0.
func (w *world) holdUpDeletions(t *testing.T, namespace, target string, hold func(look int)) {
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
		rehearsed atomic.Bool  // a deletion of which nothing comes has been asked about
		before    atomic.Int32 // what drey had answered then
		looks     atomic.Int32
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
			rehearsed.Store(true)
		} else {
			look := looks.Add(1) - 1
			for deadline := time.Now().Add(20 * time.Second); w.reviewsOfObjects(t) <= before.Load()+look; time.Sleep(10 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Errorf("drey has not answered review %d", look+1)
					break
				}
			}
			hold(int(look))
		}
		rw.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(rw, `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","response":{"uid":%q,"allowed":true}}`, review.Request.UID)
	})}
	go server.ServeTLS(listener, "", "")
	configuration, err := json.Marshal(map[string]any{
		"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
		"metadata": map[string]any{"name": "hold-up-" + namespace},
		"webhooks": []any{map[string]any{
			"name": "hold-up.example.com", "sideEffects": "None", "admissionReviewVersions": []string{"v1"}, "failurePolicy": "Ignore", "timeoutSeconds": 30,
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
		_ = w.KubectlCommand(context.Background(), "delete", "validatingwebhookconfiguration", "hold-up-"+namespace).Run()
		server.Close()
	})
	eventually.OK(t, 20*time.Second, func() error { // the API server learns of it within a second or so
		out, err := w.RunKubectl(t, "", "delete", "dt", target, "-n", namespace, "--dry-run=server")
		if err == nil && !rehearsed.Load() {
			err = errors.New("nobody asked the test")
		}
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	before.Store(w.reviewsOfObjects(t))
}

var reviewsPattern = regexp.MustCompile(`(?m)^drey_admission_reviews_total\{[^}]*webhook="registry\.drey\.dev"[^}]*\} (\d+)$`)

// reviewsOfObjects is how many reviews of its own objects drey has answered.
func (w *world) reviewsOfObjects(t *testing.T) (n int32) {
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
