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

// TestForgedReviews sends reviews without a client certificate. Drey writes nothing that
// such a review states, and the response reveals no user's permissions.
func TestForgedReviews(t *testing.T) {
	w := sharedWorld(t)
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

	t.Run("DELETE does not write the body", func(t *testing.T) {
		o := read("free")
		o["status"] = map[string]any{"name": "attacker", "id": "attacker", "observedGeneration": 987654321}
		w.forge(t, "DELETE", "alice", o, true)
		if status := fmt.Sprint(read("free")["status"]); strings.Contains(status, "attacker") || strings.Contains(status, "987654321") {
			t.Errorf("got the status of the review: %s", status)
		}
	})
	t.Run("DELETE with another uid writes nothing", func(t *testing.T) {
		before := fmt.Sprint(read("free"))
		o := read("free")
		o["metadata"].(map[string]any)["uid"] = "00000000-0000-4000-8000-000000000000"
		w.forge(t, "DELETE", "alice", o, true)
		if after := fmt.Sprint(read("free")); after != before {
			t.Errorf("got %s\nwant %s", after, before)
		}
	})
	t.Run("DELETE with another uid reveals no reference", func(t *testing.T) {
		o := read("staging")
		if allowed, message := w.forge(t, "DELETE", "alice", o, true); allowed || !strings.Contains(message, `"job"`) {
			t.Errorf("with the uid: got allowed=%t %q, want a denial that names the job", allowed, message)
		}
		o["metadata"].(map[string]any)["uid"] = "00000000-0000-4000-8000-000000000000"
		if allowed, message := w.forge(t, "DELETE", "alice", o, true); !allowed || message != "" {
			t.Errorf("with another uid: got allowed=%t %q, want allowed without a message", allowed, message)
		}
	})
	t.Run("CREATE does not reveal permissions", func(t *testing.T) {
		target := map[string]any{
			"apiVersion": "drey.dev/v1", "kind": "DeploymentTarget", "metadata": map[string]any{"namespace": ns, "name": "new"},
			"spec": map[string]any{"kubernetes": map[string]any{"namespace": other}},
		}
		for _, user := range []string{"nobody", "system:serviceaccount:kube-system:clusterrole-aggregation-controller", "system:admin"} {
			if allowed, message := w.forge(t, "CREATE", user, target, false); !allowed || message != "" {
				t.Errorf("%s: got allowed=%t %q, want allowed without a message", user, allowed, message)
			}
		}
	})
}

// forge sends a review to drey without a client certificate, with o as oldObject if old.
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
