package e2e

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"drey.dev/drey/test/framework/eventually"
)

// TestNoTargetRemedy applies a JobManager in a namespace without a target, runs the curl
// command of the denial, and applies it again.
func TestNoTargetRemedy(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	namespace := w.Namespace(t)
	out, err := w.RunKubectl(t, jobManager, "apply", "-n", namespace, "-f", "-")
	if err == nil {
		t.Fatalf("allowed without a target: %s", out)
	}
	for _, part := range []string{"Error from server (Forbidden)", `admission webhook "workloads.drey.dev" denied the request`, fmt.Sprintf("namespace %q has no DeploymentTarget", namespace)} {
		if !strings.Contains(out, part) {
			t.Errorf("denial: got %s, want it to contain %q", out, part)
		}
	}
	runCurl(t, out)
	w.runJobManager(t, namespace)
}

// TestTargetReadiness lists a target over REST before and after its Kubernetes namespace is
// created, and one in a namespace that drey excludes.
func TestTargetReadiness(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	await := func(name, want string) {
		t.Helper()
		eventually.OK(t, func() error {
			text, err := w.drey.Call(t.Context(), http.MethodGet, "/drey/v1/targets?platformNamespace=team-a&name="+name, nil)
			if err != nil || !strings.Contains(string(text), want) {
				return fmt.Errorf("got %s %w, want %s", text, err, want)
			}
			return nil
		})
	}
	at := w.Namespace(t) + "-late"
	w.register(t, "team-a", at)
	await(at, `"ready":false,"reason":"NamespaceMissing"`)
	w.MustKubectl(t, "", "create", "namespace", at)
	await(at, `"ready":true,"reason":"Registered"`)
	w.register(t, "team-a", "kube-public")
	await("kube-public", `"ready":false,"reason":"NamespaceNotServed","message":"drey excludes`)
	w.deleteTarget(t, "team-a", "kube-public")
}

// runCurl sends the request of the curl command in a text, without curl.
func runCurl(t *testing.T, text string) {
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
		t.Fatalf("%s: got %s %s, want 201", found[0], response.Status, body)
	}
}

// TestAmbiguousTargetRemedy applies a JobManager in a namespace with targets of two platform
// namespaces, and runs the kubectl command of the denial.
func TestAmbiguousTargetRemedy(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	namespace := w.Namespace(t)
	w.register(t, "team-a", namespace)
	w.register(t, "team-b", namespace)
	file := writeManifest(t, jobManager)
	out, err := w.RunKubectl(t, "", "apply", "-n", namespace, "-f", file)
	if err == nil || !strings.Contains(out, "team-a, team-b") {
		t.Fatalf("got %v: %s, want a denial with the platform namespaces team-a, team-b", err, out)
	}
	w.runShell(t, strings.Replace(kubectlCommand(t, out), "FILE", file, 1))
	eventually.OK(t, func() error {
		pods := w.list(t, "Pod", namespace)
		if len(pods) != 1 || pods[0].GetLabels()["vvpNamespace"] != "team-a" {
			return fmt.Errorf("got %d pods %v, want one of team-a", len(pods), pods)
		}
		return nil
	})
}

// TestSecondTargetRunningJob registers a namespace for a second platform namespace after a
// Deployment was admitted: its further pods keep the platform namespace of the Deployment.
func TestSecondTargetRunningJob(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	namespace := w.Namespace(t)
	w.register(t, "team-b", namespace)
	w.runJobManager(t, namespace)
	w.register(t, "team-a", namespace)
	w.MustKubectl(t, "", "scale", "-n", namespace, "deployment/my-job", "--replicas=3")
	eventually.OK(t, func() error {
		pods := w.list(t, "Pod", namespace)
		for _, pod := range pods {
			if got := pod.GetLabels()["vvpNamespace"]; got != "team-b" {
				t.Fatalf("vvpNamespace of pod %s: got %q, want team-b", pod.GetName(), got)
			}
		}
		return w.checkPodCount(t, namespace, 3)
	})
}

// kubectlCommand returns the kubectl command in an AmbiguousTarget denial.
func kubectlCommand(t *testing.T, text string) string {
	t.Helper()
	found := regexp.MustCompile(`(kubectl patch .+?) \. \(`).FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("no kubectl command in: %s", text)
	}
	return found[1]
}

// runJobManager applies jobManager, and waits for its pod.
func (w *world) runJobManager(t *testing.T, namespace string) {
	t.Helper()
	w.MustKubectl(t, jobManager, "apply", "-n", namespace, "-f", "-")
	eventually.OK(t, func() error { return w.checkPodCount(t, namespace, 1) })
}

// checkPodCount compares the number of pods in a namespace.
func (w *world) checkPodCount(t testing.TB, namespace string, want int) error {
	t.Helper()
	if got := len(w.list(t, "Pod", namespace)); got != want {
		return fmt.Errorf("pods in namespace %s: got %d, want %d", namespace, got, want)
	}
	return nil
}

// TestTargetReadYourWrites creates a pod immediately after its namespace was registered, and
// after the target was deleted: admission uses the latest acknowledged write.
func TestTargetReadYourWrites(t *testing.T) {
	w := sharedWorld(t)
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
		if denial := w.deniedOrWarned(t, namespace, deepCopy(t, pod)); denial != "" {
			t.Fatalf("round %d: after the registration: %s", i, denial)
		}
		if _, err := w.drey.Call(t.Context(), http.MethodDelete, path+name, nil); err != nil {
			t.Fatal(err)
		}
		if w.deniedOrWarned(t, namespace, deepCopy(t, pod)) == "" {
			t.Fatalf("round %d: allowed after the deletion of the target", i)
		}
	}
}

// TestRunningJobWithoutTarget deletes the target of a running job, which requires that the
// job has no pods at that moment. Afterwards the job gets its pods, can be changed and can be
// deleted; a new job is denied.
func TestRunningJobWithoutTarget(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	namespace := w.Namespace(t)
	w.register(t, "default", namespace)
	w.runJobManager(t, namespace)
	w.checkDeletionRefused(t, "default", namespace, `Kubernetes Deployment \"my-job\"`)
	jobs, err := w.drey.Call(t.Context(), http.MethodGet, "/api/v1/namespaces/default/jobs/7a0c0e1d-2b3a-4958-8776-655443322110", nil)
	if err != nil || !strings.Contains(string(jobs), `"deploymentName":"my-job"`) {
		t.Errorf("GET job: got %v %s, want deploymentName my-job", err, jobs)
	}
	w.removeTarget(t, namespace)

	if _, err := w.create(t.Context(), namespace, taskManager(w.get(t, "Deployment", namespace, "my-job").GetUID())); err != nil {
		t.Errorf("create a TaskManager of a running job: %v", err)
	}
	w.MustKubectl(t, "", "label", "-n", namespace, "pod", "--all", "example.com/seen=yes")
	w.MustKubectl(t, "", "annotate", "-n", namespace, "deployment/my-job", "example.com/seen=yes")
	w.MustKubectl(t, "", "scale", "-n", namespace, "deployment/my-job", "--replicas=0")
	w.MustKubectl(t, "", "delete", "-n", namespace, "pod/my-job-taskmanager-1-1", "--wait=false")
	w.MustKubectl(t, "", "patch", "-n", namespace, "pod/my-job-taskmanager-1-1", "--type=merge", "-p", `{"metadata":{"finalizers":null}}`)
	w.MustKubectl(t, "", "delete", "-n", namespace, "deployment/my-job")
	eventually.OK(t, func() error {
		if pods, sets := len(w.list(t, "Pod", namespace)), len(w.list(t, "ReplicaSet", namespace)); pods+sets > 0 {
			return fmt.Errorf("%d pods and %d ReplicaSets left, want none", pods, sets)
		}
		return nil
	})
	if out, err := w.RunKubectl(t, jobManager, "apply", "-n", namespace, "-f", "-"); err == nil {
		t.Errorf("a new job is allowed without a target: %s", out)
	}
}

// taskManager is a pod as the JobManager of jobManager creates it.
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

// removeTarget deletes the target of a namespace while its job is scaled to zero: pods
// reference their target. Then it scales the job up, and waits for its pod.
func (w *world) removeTarget(t *testing.T, namespace string) {
	t.Helper()
	w.MustKubectl(t, "", "scale", "-n", namespace, "deployment/my-job", "--replicas=0")
	w.MustKubectl(t, "", "delete", "-n", namespace, "pod", "--all", "--now")
	eventually.OK(t, func() error {
		_, err := w.drey.Call(t.Context(), http.MethodDelete, "/api/v1/namespaces/default/deployment-targets/"+namespace, nil)
		return err
	})
	w.MustKubectl(t, "", "scale", "-n", namespace, "deployment/my-job", "--replicas=1")
	eventually.OK(t, func() error {
		pods := w.list(t, "Pod", namespace)
		if len(pods) != 1 {
			return fmt.Errorf("pods: got %d, want 1", len(pods))
		}
		if labels := pods[0].GetLabels(); labels["vvpNamespace"] != "default" || labels["deploymentName"] != "my-job" {
			return fmt.Errorf("labels of the new pod: got %v, want vvpNamespace=default and deploymentName=my-job", labels)
		}
		return nil
	})
}
