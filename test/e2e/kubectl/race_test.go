package kubectl

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"drey.dev/drey/certs"
	"drey.dev/drey/test/eventually"
)

// TestNoTargetIsDeletedByKubectlUnderADeployment forces the worst moments: drey
// has looked, and found nothing that refers to the target; before the API server
// deletes it, somebody registers a Deployment that does. Another webhook holds up
// the deletion for that.
func TestNoTargetIsDeletedByKubectlUnderADeployment(t *testing.T) {
	w := inWorld(t)
	for moment := range 3 {
		t.Run(fmt.Sprintf("when_it_is_looked_at_for_the_%d._time", moment+1), func(t *testing.T) {
			ns := w.Namespace(t)
			alice := w.admin(t, ns)
			w.MustKubectl(t, targetYAML("staging", "", ns)+objectYAML("Deployment", "other", "state: CANCELLED"), "apply", "-n", ns, "-f", "-")
			eventually.OK(t, 5*time.Second, func() error {
				if status, said := alice.call(t, "GET", "/api/v1/namespaces/"+ns+"/deployment-targets/staging", ""); status != 200 {
					return fmt.Errorf("%d %+v", status, said)
				}
				return nil
			})
			created := 0
			w.holdUpDeletions(t, ns, func(look int) {
				time.Sleep(700 * time.Millisecond) // drey has answered by then
				if look == moment {
					created, _ = alice.call(t, "POST", "/api/v1/namespaces/"+ns+"/deployments", `{"metadata":{"name":"job"},"spec":{"deploymentTargetName":"staging"}}`)
				}
			})
			out, err := w.RunKubectl(t, "", alice.as(ns, "delete", "dt", "staging")...)
			_, gone := w.RunKubectl(t, "", "get", "dt", "staging", "-n", ns)
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
// of a namespace. look counts from 0.
func (w *world) holdUpDeletions(t *testing.T, namespace string, hold func(look int)) {
	t.Helper()
	serving, err := certs.NewMemory("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var looks atomic.Int32
	server := &http.Server{TLSConfig: &tls.Config{GetCertificate: serving.GetCertificate}, Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		var review struct{ Request struct{ UID string } }
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			t.Error(err)
		}
		hold(int(looks.Add(1)) - 1)
		rw.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(rw, `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","response":{"uid":%q,"allowed":true}}`, review.Request.UID)
	})}
	go server.ServeTLS(listener, "", "")
	configuration, err := json.Marshal(map[string]any{
		"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
		"metadata": map[string]any{"name": "hold-up-" + namespace},
		"webhooks": []any{map[string]any{
			"name": "hold-up.example.com", "sideEffects": "None", "admissionReviewVersions": []string{"v1"}, "failurePolicy": "Ignore", "timeoutSeconds": 10,
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
	time.Sleep(1500 * time.Millisecond) // the API server learns of it within a second or so
}
