package kubectl

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"drey.dev/drey/test/framework/drey"
	"drey.dev/drey/webhook/config"
)

// TestForgedReviews sends reviews without a client certificate, with a token that a failed
// call has disclosed. Drey writes nothing that such a review states, and the response reveals
// no user's permissions.
func TestForgedReviews(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	ns, other := w.Namespace(t), w.Namespace(t)
	w.MustKubectl(t, targetYAML("staging", "", other)+objectYAML("Deployment", "job", "deploymentTargetName: staging"), "apply", "-n", ns, "-f", "-")
	w.MustKubectl(t, targetYAML("free", "", other), "apply", "-n", ns, "-f", "-")
	w.MustKubectl(t, "", "wait", "--for=condition=Ready", "dt/free", "dt/staging", "-n", ns)
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

// TestForgedReviewsWithoutToken sends reviews without a client certificate and without the
// token of the webhook. The answers are equal, byte by byte: for names, ids, uids and
// namespaces that exist and that do not, for a platform namespace at its quota, and for no
// review at all.
func TestForgedReviewsWithoutToken(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	platform, flink, unregistered := w.Namespace(t), w.Namespace(t), w.Namespace(t)
	w.MustKubectl(t, targetYAML("taken", "", flink), "apply", "-n", platform, "-f", "-")
	w.MustKubectl(t, "", "wait", "--for=condition=Ready", "dt/taken", "-n", platform)
	id := w.MustKubectl(t, "", "get", "dt/taken", "-n", platform, "-o", "jsonpath={.status.id}")
	job := w.MustKubectl(t, flinkJob, "create", "-n", flink, "-f", "-", "-o", "jsonpath={.metadata.uid}")
	full := w.Namespace(t)
	fill(t, w, full)

	target := func(namespace, name, restName, id string) string {
		return review(t, "CREATE", "alice", map[string]any{
			"apiVersion": "drey.dev/v1", "kind": "DeploymentTarget",
			"metadata": map[string]any{"namespace": namespace, "name": name, "annotations": map[string]any{"drey.dev/id": id}},
			"spec":     map[string]any{"name": restName, "kubernetes": map[string]any{"namespace": flink}},
		}, nil)
	}
	pod := func(kind, namespace string) string {
		labels := map[string]any{"app": "my-job", "component": "jobmanager", "type": "flink-native-kubernetes"}
		spec := map[string]any{"containers": []any{map[string]any{"name": "flink-main-container", "image": "flink:2.2"}}}
		o := map[string]any{"kind": kind, "metadata": map[string]any{"namespace": namespace, "name": "my-job", "labels": labels}, "spec": spec}
		if kind == "Deployment" {
			o["apiVersion"], o["spec"] = "apps/v1", map[string]any{"template": map[string]any{"metadata": map[string]any{"labels": labels}, "spec": spec}}
		}
		return review(t, "CREATE", "alice", o, nil)
	}
	const free = "00000000-0000-4000-8000-000000000000"
	bodies := map[string]string{
		"name taken": target(platform, "other", "taken", free), "name free": target(platform, "other", "free", free),
		"id taken": target(platform, "other", "free", id), "id free": target(platform, "other", "free", free),
		"uid of a Job": target(platform, "other", "free", job), "uid of nothing": target(platform, "other", "free", free),
		"quota full": target(full, "other", "free", strings.Repeat("0", 32<<10)), "quota free": target(platform, "other", "free", strings.Repeat("0", 32<<10)),
		"pod, registered": pod("Pod", flink), "pod, unregistered": pod("Pod", unregistered),
		"Deployment, registered": pod("Deployment", flink), "Deployment, unregistered": pod("Deployment", unregistered),
		"no review": "{}", "no JSON": "x",
	}
	urls, err := drey.WebhookClients(t.Context(), w.Cluster)
	if err != nil {
		t.Fatal(err)
	}
	tokenOf := func(name string) string { return (*urls[name].URL)[strings.LastIndex(*urls[name].URL, "/"):] }

	// With the token, the bodies do disclose it.
	for what, c := range map[string]struct{ name, one, other string }{
		"name":      {config.NameValidateRegistry, "name taken", "name free"},
		"id":        {config.NameValidateRegistry, "id taken", "id free"},
		"uid":       {config.NameValidateRegistry, "uid of a Job", "uid of nothing"},
		"quota":     {config.NameValidateRegistry, "quota full", "quota free"},
		"pod":       {config.NameLabelPods, "pod, registered", "pod, unregistered"},
		"namespace": {config.NameValidateWorkloads, "Deployment, registered", "Deployment, unregistered"},
	} {
		one, other := post(t, *urls[c.name].URL, bodies[c.one]), post(t, *urls[c.name].URL, bodies[c.other])
		if one.status != http.StatusOK || other.status != http.StatusOK || one.body == other.body {
			t.Errorf("%s, with the token: got %v and %v, want different decisions", what, one, other)
		}
	}

	answers := map[reply]string{} // an example of each answer
	for _, base := range slices.Compact(slices.Sorted(maps.Values(config.Paths()))) {
		tokens := map[string]string{"no token": "", "another token": "/abcdefghijklmnopqrstuvwxyz", "the token of another webhook": tokenOf(config.NameRestoreLabels)}
		if base == config.PathRestoreLabels {
			delete(tokens, "the token of another webhook")
		}
		for token, suffix := range tokens {
			var wait sync.WaitGroup // each waits for a read of the configurations
			var mu sync.Mutex
			for name, body := range bodies {
				wait.Go(func() {
					answer := post(t, w.drey.Webhook+base+suffix, body)
					mu.Lock()
					defer mu.Unlock()
					answers[answer] = base + ", " + token + ", " + name
				})
			}
			wait.Wait()
		}
	}
	if len(answers) != 1 {
		t.Errorf("without the token: got %d answers, want one: %v", len(answers), answers)
	}
	for answer := range answers {
		if answer.status != http.StatusForbidden {
			t.Errorf("without the token: got %v, want 403", answer)
		}
	}
}

const flinkJob = `
apiVersion: batch/v1
kind: Job
metadata: {name: my-job}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: jobmanager, image: "flink:2.2", args: [standalone-job]}]}}}
`

// fill brings a platform namespace to its quota.
func fill(t *testing.T, w *world, namespace string) {
	t.Helper()
	padding := strings.Repeat("x", 200<<10)
	for i := range 100 {
		out, err := w.RunKubectl(t, fmt.Sprintf("apiVersion: drey.dev/v1\nkind: Deployment\nmetadata: {name: d%d}\nspec: {template: {padding: %s}}\n", i, padding), "create", "-n", namespace, "-f", "-")
		if err != nil {
			if !strings.Contains(out, "quota") {
				t.Fatalf("%v: %s", err, out)
			}
			return
		}
	}
	t.Fatal("the quota is never reached")
}

// review returns an AdmissionReview by a user.
func review(t *testing.T, operation, user string, object, oldObject map[string]any) string {
	t.Helper()
	o := object
	if o == nil {
		o = oldObject
	}
	metadata := o["metadata"].(map[string]any)
	request := map[string]any{
		"uid": "forged", "operation": operation, "kind": map[string]any{"version": "v1", "kind": o["kind"]}, "object": object, "oldObject": oldObject,
		"namespace": metadata["namespace"], "name": metadata["name"], "userInfo": map[string]any{"username": user, "groups": []string{"system:authenticated"}},
	}
	body, err := json.Marshal(map[string]any{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// reply is the answer to a review.
type reply struct {
	status int
	header string // except the date
	body   string
}

// post sends a review without a client certificate.
func post(t *testing.T, url, body string) reply {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	client := http.Client{Transport: transport}
	response, err := client.Post(url, "application/json", strings.NewReader(body))
	// A server that answers before it has read the body may close the connection, which
	// discloses nothing.
	for range 3 {
		if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
			break
		}
		response, err = client.Post(url, "application/json", strings.NewReader(body))
	}
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	response.Header.Del("Date")
	return reply{response.StatusCode, fmt.Sprint(response.Header), string(text)}
}

// forge sends a review with the token of the webhook and without a client certificate, with o
// as oldObject if old.
func (w *world) forge(t *testing.T, operation, user string, o map[string]any, old bool) (allowed bool, message string) {
	t.Helper()
	url, err := drey.WebhookURL(t.Context(), w.Cluster, config.NameValidateRegistry)
	if err != nil {
		t.Fatal(err)
	}
	body := review(t, operation, user, o, nil)
	if old {
		body = review(t, operation, user, nil, o)
	}
	answer := post(t, url, body)
	if answer.status != http.StatusOK {
		t.Fatalf("got %v", answer)
	}
	var got struct {
		Response struct {
			Allowed bool
			Status  struct{ Message string }
		}
	}
	if err := json.Unmarshal([]byte(answer.body), &got); err != nil {
		t.Fatal(err)
	}
	return got.Response.Allowed, got.Response.Status.Message
}
