package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/eventually"
)

// TestNoTargetRemedy applies a JobManager where Flink
// may not run, does what kubectl shows, and applies it again.
func TestNoTargetRemedy(t *testing.T) {
	w := inWorld(t)
	t.Parallel()
	namespace := w.Namespace(t)
	out, err := w.RunKubectl(t, jobManager, "apply", "-n", namespace, "-f", "-")
	if err == nil {
		t.Fatalf("it was let in: %s", out)
	}
	for _, part := range []string{"Error from server (Forbidden)", `admission webhook "workloads.drey.dev" denied the request`, fmt.Sprintf("namespace %q has no DeploymentTarget", namespace)} {
		if !strings.Contains(out, part) {
			t.Errorf("kubectl does not say %q: %s", part, out)
		}
	}
	post(t, out)
	w.MustKubectl(t, jobManager, "apply", "-n", namespace, "-f", "-")
	eventually.OK(t, 20*time.Second, func() error {
		if pods := w.list(t, "Pod", namespace); len(pods) != 1 {
			return fmt.Errorf("%d pods, want 1", len(pods))
		}
		return nil
	})
}

// post does what a curl command in a text does, where there may be no curl.
func post(t *testing.T, text string) {
	t.Helper()
	found := regexp.MustCompile(`curl -X POST (\S+) -H '([^:']+): ([^']+)' -d '([^']+)'`).FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("no curl command in: %s", text)
	}
	response, err := http.Post(found[1], found[3], strings.NewReader(found[4]))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, _ := io.ReadAll(response.Body); response.StatusCode != http.StatusCreated {
		t.Fatalf("%s: %s %s", found[0], response.Status, body)
	}
}

// TestAmbiguousTargetRemedy does the same in a namespace
// with targets of two platform namespaces, at the Deployment and at a pod.
func TestAmbiguousTargetRemedy(t *testing.T) {
	w := inWorld(t)
	t.Parallel()
	namespace := w.Namespace(t)
	w.register(t, "team-a", namespace)
	w.register(t, "team-b", namespace)
	file := writeFile(t, jobManager)
	out, err := w.RunKubectl(t, "", "apply", "-n", namespace, "-f", file)
	if err == nil || !strings.Contains(out, "team-a, team-b") {
		t.Fatalf("got %v: %s", err, out)
	}
	w.shell(t, strings.Replace(settle(t, out), "FILE", file, 1))
	eventually.OK(t, 20*time.Second, func() error {
		pods := w.list(t, "Pod", namespace)
		if len(pods) != 1 || pods[0].GetLabels()["vvpNamespace"] != "team-a" {
			return fmt.Errorf("got %d pods: %v", len(pods), pods)
		}
		return nil
	})
}

// TestSecondTargetRunningJob makes a namespace ambiguous
// after a Deployment was admitted there: its next pods belong where it belongs.
func TestSecondTargetRunningJob(t *testing.T) {
	w := inWorld(t)
	t.Parallel()
	namespace := w.Namespace(t)
	w.register(t, "team-b", namespace)
	w.runJobManager(t, namespace)
	w.register(t, "team-a", namespace)
	w.MustKubectl(t, "", "scale", "-n", namespace, "deployment/my-job", "--replicas=3")
	eventually.OK(t, 20*time.Second, func() error {
		pods := w.list(t, "Pod", namespace)
		for _, pod := range pods {
			if got := pod.GetLabels()["vvpNamespace"]; got != "team-b" {
				t.Fatalf("a pod of team-b's job belongs to %q", got)
			}
		}
		if len(pods) != 3 {
			return fmt.Errorf("%d pods, want 3", len(pods))
		}
		return nil
	})
}

// settle finds the command in an AmbiguousTarget message.
func settle(t *testing.T, text string) string {
	t.Helper()
	found := regexp.MustCompile(`(kubectl patch .+?) \. \(`).FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("no kubectl command in: %s", text)
	}
	return found[1]
}

// runJobManager makes a Deployment of one JobManager, and waits for its pod.
func (w *world) runJobManager(t *testing.T, namespace string) {
	t.Helper()
	w.MustKubectl(t, jobManager, "apply", "-n", namespace, "-f", "-")
	eventually.OK(t, 20*time.Second, func() error { return onlyPod(w, t, namespace) })
}

func onlyPod(w *world, t *testing.T, namespace string) error {
	if n := len(w.list(t, "Pod", namespace)); n != 1 {
		return fmt.Errorf("%d pods, want 1", n)
	}
	return nil
}

// TestTargetReadYourWrites creates a pod the moment that the
// registration of its namespace was answered.
func TestTargetReadYourWrites(t *testing.T) {
	w := inWorld(t)
	t.Parallel()
	pod := map[string]any{
		"apiVersion": "v1", "kind": "Pod",
		"metadata": map[string]any{"generateName": "jm-", "labels": map[string]any{"component": "jobmanager"}},
		"spec":     map[string]any{"containers": []any{map[string]any{"name": "jobmanager", "image": "flink:2.2"}}},
	}
	namespace := w.Namespace(t)
	path := "/api/v1/namespaces/team-b/deployment-targets/"
	for i := range 30 {
		name := fmt.Sprintf("%s-%d", namespace, i)
		if err := w.drey.Register(t.Context(), "team-b", name, namespace); err != nil {
			t.Fatal(err)
		}
		if _, err := w.create(t.Context(), namespace, clone(t, pod), "All"); err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
		if _, err := w.drey.Call(t.Context(), http.MethodDelete, path+name, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := w.create(t.Context(), namespace, clone(t, pod), "All"); err == nil {
			t.Fatalf("round %d: let in after the target's deletion", i)
		}
	}
}

// TestRunningJobWithoutTarget does what people do to a running job whose
// target has gone: nothing of it is drey's business.
func TestRunningJobWithoutTarget(t *testing.T) {
	w := inWorld(t)
	t.Parallel()
	namespace := w.Namespace(t)
	w.register(t, "default", namespace)
	w.runJobManager(t, namespace)
	path := "/api/v1/namespaces/default/deployment-targets/" + namespace
	if _, err := w.drey.Call(t.Context(), http.MethodDelete, path, nil); err == nil || !strings.Contains(err.Error(), `Kubernetes Deployment \"my-job\"`) {
		t.Errorf("a target on which a job runs is not held by it: %v", err)
	}
	jobs, err := w.drey.Call(t.Context(), http.MethodGet, "/api/v1/namespaces/default/jobs/7a0c0e1d-2b3a-4958-8776-655443322110", nil)
	if err != nil || !strings.Contains(string(jobs), `"deploymentName":"my-job"`) {
		t.Errorf("the job is not listed: %v %s", err, jobs)
	}
	w.loseTarget(t, namespace)

	if _, err := w.create(t.Context(), namespace, taskManager(w.list(t, "Deployment", namespace)[0].GetUID())); err != nil {
		t.Errorf("a running job cannot recover: %v", err)
	}
	w.MustKubectl(t, "", "label", "-n", namespace, "pod", "--all", "example.com/seen=yes")
	w.MustKubectl(t, "", "annotate", "-n", namespace, "deployment/my-job", "example.com/seen=yes")
	w.MustKubectl(t, "", "scale", "-n", namespace, "deployment/my-job", "--replicas=0")
	w.MustKubectl(t, "", "delete", "-n", namespace, "pod/my-job-taskmanager-1-1", "--wait=false")
	w.MustKubectl(t, "", "patch", "-n", namespace, "pod/my-job-taskmanager-1-1", "--type=merge", "-p", `{"metadata":{"finalizers":null}}`)
	w.MustKubectl(t, "", "delete", "-n", namespace, "deployment/my-job")
	eventually.OK(t, 60*time.Second, func() error {
		if pods, sets := len(w.list(t, "Pod", namespace)), len(w.list(t, "ReplicaSet", namespace)); pods+sets > 0 {
			return fmt.Errorf("%d pods and %d ReplicaSets are left", pods, sets)
		}
		return nil
	})
	if out, err := w.RunKubectl(t, jobManager, "apply", "-n", namespace, "-f", "-"); err == nil {
		t.Errorf("a new job was let in: %s", out)
	}
}

// taskManager is a pod as the JobManager's process makes it.
func taskManager(deployment types.UID) map[string]any {
	return map[string]any{
		"apiVersion": "v1", "kind": "Pod",
		"metadata": map[string]any{
			"name": "my-job-taskmanager-1-1", "labels": map[string]any{"app": "my-job", "component": "taskmanager", "type": "flink-native-kubernetes"},
			"finalizers":      []any{"example.com/hold"},
			"ownerReferences": []any{map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "name": "my-job", "uid": string(deployment), "controller": true}},
		},
		"spec": map[string]any{"containers": []any{map[string]any{"name": "flink-main-container", "image": "flink:2.2", "args": []any{"bash", "-c", "kubernetes-taskmanager.sh"}}}},
	}
}

// loseTarget deletes the target of a namespace while its job has no pods: those that
// it has hold it. The pods that come back are those of a running job.
func (w *world) loseTarget(t *testing.T, namespace string) {
	t.Helper()
	w.MustKubectl(t, "", "scale", "-n", namespace, "deployment/my-job", "--replicas=0")
	w.MustKubectl(t, "", "delete", "-n", namespace, "pod", "--all", "--now")
	eventually.OK(t, 20*time.Second, func() error {
		_, err := w.drey.Call(t.Context(), http.MethodDelete, "/api/v1/namespaces/default/deployment-targets/"+namespace, nil)
		return err
	})
	w.MustKubectl(t, "", "scale", "-n", namespace, "deployment/my-job", "--replicas=1")
	eventually.OK(t, 20*time.Second, func() error {
		if err := onlyPod(w, t, namespace); err != nil {
			return err
		}
		if labels := w.list(t, "Pod", namespace)[0].GetLabels(); labels["vvpNamespace"] != "default" || labels["deploymentName"] != "my-job" {
			return fmt.Errorf("the pod that came back has the labels %v", labels)
		}
		return nil
	})
}

// TestOutage kills drey: nothing new of Flink's can be applied, a job
// that runs loses and gets pods as ever, and nobody else notices. With drey
// back, all is well again.
func TestOutage(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t)
	w, err := newWorld(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.drey.Stop() }) // it may have been killed
	registered := w.Namespace(t)
	w.register(t, "default", registered)
	w.runJobManager(t, registered)

	if err := w.drey.Kill(); err != nil {
		t.Fatal(err)
	}
	other := w.Namespace(t)
	w.MustKubectl(t, "", "create", "-n", other, "deployment", "web", "--image=nginx")
	eventually.OK(t, 20*time.Second, func() error { return onlyPod(w, t, other) })
	if out, err := w.RunKubectl(t, jobManager, "apply", "-n", other, "-f", "-"); err == nil {
		t.Errorf("the gate stood open: %s", out)
	}
	w.MustKubectl(t, jobManager, "apply", "-n", "kube-system", "-f", "-") // what the cluster needs to live is never held up
	lost := w.list(t, "Pod", registered)[0].GetName()
	w.MustKubectl(t, "", "delete", "-n", registered, "pod", lost)
	eventually.OK(t, 20*time.Second, func() error {
		if pods := w.list(t, "Pod", registered); len(pods) != 1 || pods[0].GetName() == lost {
			return fmt.Errorf("the JobManager's pod is not replaced: %d pods", len(pods))
		}
		return nil
	})
	if _, err := w.create(t.Context(), registered, taskManager(w.list(t, "Deployment", registered)[0].GetUID())); err != nil {
		t.Errorf("the job gets no TaskManager: %v", err)
	}
	w.MustKubectl(t, "", "annotate", "-n", registered, "deployment/my-job", "example.com/seen=yes")
	w.MustKubectl(t, "", "delete", "-n", registered, "deployment/my-job")

	again, err := newWorld(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := again.drey.Stop(); err != nil {
			t.Error(err)
		}
	})
	text, err := again.drey.Call(t.Context(), http.MethodGet, "/api/v1/namespaces/default/deployment-targets", nil)
	if err != nil {
		t.Fatal(err)
	}
	var list struct{ Items []json.RawMessage }
	if err := json.Unmarshal(text, &list); err != nil || len(list.Items) != 1 {
		t.Errorf("after a crash the registry has %s (%v), want one target", text, err)
	}
	again.MustKubectl(t, jobManager, "apply", "-n", registered, "-f", "-")
	if out, err := again.RunKubectl(t, jobManager, "apply", "-n", other, "-f", "-"); err == nil || !strings.Contains(out, "has no DeploymentTarget") {
		t.Errorf("got %v: %s", err, out)
	}
}
