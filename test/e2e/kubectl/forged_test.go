package kubectl

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"drey.dev/drey/webhook/config"
)

// TestForgedReviews sends what anybody may who reaches the port of the webhooks. Nothing is
// written that a review states, and what is answered depends on no user's rights.
func TestForgedReviews(t *testing.T) {
	w := inWorld(t)
	ns, other := w.Namespace(t), w.Namespace(t)
	w.MustKubectl(t, targetYAML("staging", "", other)+objectYAML("Deployment", "job", "deploymentTargetName: staging"), "apply", "-n", ns, "-f", "-")
	w.MustKubectl(t, targetYAML("free", "", other), "apply", "-n", ns, "-f", "-")
	w.MustKubectl(t, "", "wait", "--for=condition=Ready", "dt/free", "dt/staging", "-n", ns, "--timeout=20s")
	read := func(name string) (o map[string]any) {
		if err := json.Unmarshal([]byte(w.MustKubectl(t, "", "get", "dt", name, "-n", ns, "-o", "json")), &o); err != nil {
			t.Fatal(err)
		}
		return o
	}

	t.Run("a deletion writes nothing of the body", func(t *testing.T) {
		o := read("free")
		o["status"] = map[string]any{"name": "made-up", "id": "made-up", "observedGeneration": 987654321}
		w.forge(t, "DELETE", "somebody", o, true)
		if status := fmt.Sprint(read("free")["status"]); strings.Contains(status, "made-up") || strings.Contains(status, "987654321") {
			t.Errorf("the status is that of the review: %s", status)
		}
	})
	t.Run("a deletion that guesses writes nothing", func(t *testing.T) {
		before := fmt.Sprint(read("free"))
		o := read("free")
		o["metadata"].(map[string]any)["uid"] = "00000000-0000-4000-8000-000000000000"
		w.forge(t, "DELETE", "somebody", o, true)
		if after := fmt.Sprint(read("free")); after != before {
			t.Errorf("it was\n%s and is\n%s", before, after)
		}
	})
	t.Run("a deletion that guesses is told of no reference", func(t *testing.T) {
		o := read("staging")
		if allowed, said := w.forge(t, "DELETE", "somebody", o, true); allowed || !strings.Contains(said, `"job"`) {
			t.Errorf("to those who have read the object: %t %s", allowed, said)
		}
		o["metadata"].(map[string]any)["uid"] = "00000000-0000-4000-8000-000000000000"
		if allowed, said := w.forge(t, "DELETE", "somebody", o, true); !allowed || said != "" {
			t.Errorf("to those who have not: %t %s", allowed, said)
		}
	})
	t.Run("a creation does not tell what a user may do", func(t *testing.T) {
		made := map[string]any{
			"apiVersion": "drey.dev/v1", "kind": "DeploymentTarget", "metadata": map[string]any{"namespace": ns, "name": "new"},
			"spec": map[string]any{"kubernetes": map[string]any{"namespace": other}},
		}
		for _, user := range []string{"nobody", "system:serviceaccount:kube-system:clusterrole-aggregation-controller", "system:admin"} {
			if allowed, said := w.forge(t, "CREATE", user, made, false); !allowed || said != "" {
				t.Errorf("%s: %t %s", user, allowed, said)
			}
		}
	})
}

// forge sends a review to drey, without a client certificate.
func (w *world) forge(t *testing.T, operation, user string, o map[string]any, old bool) (allowed bool, message string) {
	t.Helper()
	metadata := o["metadata"].(map[string]any)
	request := map[string]any{
		"uid": "forged", "operation": operation, "kind": map[string]any{"group": "drey.dev", "version": "v1", "kind": "DeploymentTarget"},
		"namespace": metadata["namespace"], "name": metadata["name"], "userInfo": map[string]any{"username": user, "groups": []string{"system:authenticated"}},
	}
	if old {
		request["oldObject"] = o
	} else {
		request["object"] = o
	}
	body, err := json.Marshal(map[string]any{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	response, err := client.Post(w.drey.Webhook+config.PathValidateRegistry, "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%v, %s: %s", err, response.Status, text)
	}
	var review struct {
		Response struct {
			Allowed bool
			Status  struct{ Message string }
		}
	}
	if err := json.Unmarshal(text, &review); err != nil {
		t.Fatal(err)
	}
	return review.Response.Allowed, review.Response.Status.Message
}
