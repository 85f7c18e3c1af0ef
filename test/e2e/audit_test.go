package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"strings"
	"testing"

	"drey.dev/drey/test/framework/eventually"
)

// TestAuditRepairWorkloads runs drey audit on unlabeled objects: it reports all of them, and
// --repair labels workloads at first, and objects that get their identity from a workload with
// the next run.
func TestAuditRepairWorkloads(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	namespace := w.Namespace(t) // without a target, so drey does not repair it
	w.MustKubectl(t, "", "label", "namespace", namespace, "drey.dev/mode=audit")
	s := &scope{w, namespace}
	eventually.OK(t, func() error { return s.apply(t, flavorObjects(t, "native")[0]) }) // drey follows modes by a watch
	for _, o := range flavorObjects(t, "native") {
		if err := s.apply(t, o); err != nil {
			t.Fatal(err)
		}
	}
	w.MustKubectl(t, unlabeledWorkloads, "apply", "-n", namespace, "-f", "-")

	program, err := buildDrey()
	if err != nil {
		t.Fatal(err)
	}
	targets := writeManifest(t, "kind: DeploymentTarget\nmetadata: {name: here, namespace: team-a}\nspec: {kubernetes: {namespace: "+namespace+"}}\n")
	audit := func(args ...string) map[string]string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), program, append([]string{"audit", "-o", "json", "-n", namespace, "--kubeconfig", w.Kubeconfig(), "--targets", targets}, args...)...)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		var report struct {
			Findings []struct{ Kind, Name, Finding, Result string }
		}
		if err := json.Unmarshal(out, &report); err != nil {
			t.Fatal(err)
		}
		found := map[string]string{}
		for _, f := range report.Findings {
			if f.Kind != "Pod" { // the names of a Deployment's pods are generated
				found[f.Kind+"/"+f.Name+" "+f.Finding] = f.Result
			}
		}
		return found
	}
	const deployment, service, configMap = "Deployment/my-job Unlabeled", "Service/my-job-rest Unlabeled", "ConfigMap/flink-config-my-job Unlabeled"
	const later = "pending: its owner is labeled first; run drey audit --repair again"
	for _, step := range []struct {
		args []string
		want map[string]string
	}{
		{nil, map[string]string{deployment: "", service: "", configMap: ""}},
		{[]string{"--repair", "--dry-run"}, map[string]string{deployment: "would be labeled", service: "would be labeled", configMap: "would be labeled"}},
		{[]string{"--repair"}, map[string]string{deployment: "labeled", service: later, configMap: later}},
		{[]string{"--repair"}, map[string]string{service: "labeled", configMap: "labeled"}},
		{nil, map[string]string{}},
	} {
		if got := audit(step.args...); !maps.Equal(got, step.want) {
			t.Errorf("audit %v: got %v, want %v", step.args, got, step.want)
		}
	}
	id := string(w.get(t, "Deployment", namespace, "my-job").GetUID())
	for _, which := range [][2]string{{"Deployment", "my-job"}, {"Service", "my-job-rest"}, {"ConfigMap", "flink-config-my-job"}} {
		if labels := w.get(t, which[0], namespace, which[1]).GetLabels(); labels["deploymentId"] != id || labels["vvpNamespace"] != "team-a" {
			t.Errorf("labels of %v: got %v, want deploymentId=%s and vvpNamespace=team-a", which, labels, id)
		}
	}
}

// mislabeled is a TaskManager of an application with the labels of a session cluster: an
// earlier version did not parse quotes in command lines. It takes a uid.
const mislabeled = `
apiVersion: v1
kind: Pod
metadata:
  name: my-job-taskmanager-1-1
  labels: {app: my-job, component: taskmanager, type: flink-native-kubernetes, system: ververica-platform, vvpNamespace: team-a, sessionClusterId: %[1]q, sessionClusterName: my-job}
  ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: my-job, uid: %[1]q, controller: true}]
spec:
  containers:
    - name: flink-main-container
      image: flink:2.2
      command: [/docker-entrypoint.sh]
      args: [bash, -c, "kubernetes-taskmanager.sh -Dexecution.target='embedded' -Dweb.tmpdir='/tmp/flink-web-1'"]
`

// TestAuditRepairMislabeledPod runs drey audit on a pod of an application with the labels of a
// session cluster: it reports and removes them. The webhook denies the removal of other labels.
func TestAuditRepairMislabeledPod(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	namespace := w.Namespace(t)
	w.register(t, "team-a", namespace)
	w.runJobManager(t, namespace)
	id := string(w.get(t, "Deployment", namespace, "my-job").GetUID())
	w.MustKubectl(t, fmt.Sprintf(mislabeled, id), "create", "-n", namespace, "-f", "-")

	const pod = "my-job-taskmanager-1-1"
	program, err := buildDrey()
	if err != nil {
		t.Fatal(err)
	}
	audit := func(args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), program, append([]string{"audit", "-n", namespace, "--kubeconfig", w.Kubeconfig(), "--server", w.drey.REST}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	if out := audit(); !strings.Contains(out, "Pod/"+pod) || !strings.Contains(out, "Mislabeled") || !strings.Contains(out, "sessionClusterId- sessionClusterName-") {
		t.Fatalf("audit: got\n%s\nwant the finding Mislabeled about the pod", out)
	}
	if out, err := w.RunKubectl(t, "", "label", "pod", pod, "-n", namespace, "vvpNamespace-"); err == nil {
		t.Errorf("removal of a correct label: got %s, want a denial", out)
	}
	audit("--repair")
	labels := w.get(t, "Pod", namespace, pod).GetLabels()
	want := map[string]string{
		"app": "my-job", "component": "taskmanager", "type": "flink-native-kubernetes", "drey.dev/app": "flink-job", "system": "ververica-platform", "vvpNamespace": "team-a",
		"deploymentId": id, "deploymentName": "my-job",
	}
	if !maps.Equal(labels, want) {
		t.Errorf("labels of the pod: got %v, want %v", labels, want)
	}
	if out := audit(); strings.Contains(out, pod) {
		t.Errorf("audit after the repair: got\n%s\nwant no finding about the pod", out)
	}
}
