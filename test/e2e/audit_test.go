package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"strings"
	"testing"
	"time"

	"drey.dev/drey/test/framework/drey"
	"drey.dev/drey/test/framework/eventually"
)

// TestAuditRepairWorkloads has drey audit report and label what came without labels, pods
// and others: what makes pods first, and what is known by it with the next run.
func TestAuditRepairWorkloads(t *testing.T) {
	w := inWorld(t)
	t.Parallel()
	namespace := w.Namespace(t) // without a target: drey itself does not repair it
	w.MustKubectl(t, "", "label", "namespace", namespace, "drey.dev/mode=audit")
	p := &plane{w, namespace}
	eventually.OK(t, 20*time.Second, func() error { return p.apply(t, flavorObjects(t, "native")[0]) }) // the mode arrives by a watch
	for _, o := range flavorObjects(t, "native") {
		if err := p.apply(t, o); err != nil {
			t.Fatal(err)
		}
	}
	w.MustKubectl(t, strangers, "apply", "-n", namespace, "-f", "-")

	program, err := drey.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	targets := writeFile(t, "kind: DeploymentTarget\nmetadata: {name: here, namespace: team-a}\nspec: {kubernetes: {namespace: "+namespace+"}}\n")
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
			if f.Kind != "Pod" { // a Deployment's has a name that is drawn by lot
				found[f.Kind+"/"+f.Name+" "+f.Finding] = f.Result
			}
		}
		return found
	}
	const deployment, service, configMap = "Deployment/my-job Unlabeled", "Service/my-job-rest Unlabeled", "ConfigMap/flink-config-my-job Unlabeled"
	const later = "is labeled after its owner: run drey audit --repair again"
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
	id := string(w.object(t, "Deployment", namespace, "my-job").GetUID())
	for _, which := range [][2]string{{"Deployment", "my-job"}, {"Service", "my-job-rest"}, {"ConfigMap", "flink-config-my-job"}} {
		if labels := w.object(t, which[0], namespace, which[1]).GetLabels(); labels["deploymentId"] != id || labels["vvpNamespace"] != "team-a" {
			t.Errorf("%v has the labels %v", which, labels)
		}
	}
}

// mislabeled is a TaskManager of an application as an earlier version labeled it, whose
// reader of command lines did not know quotes.
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

// TestAuditRepairMislabeledPod has drey audit find the labels of a session cluster on a
// pod of an application, and take them off. The webhook lets nothing else be taken off.
func TestAuditRepairMislabeledPod(t *testing.T) {
	w := inWorld(t)
	t.Parallel()
	namespace := w.Namespace(t)
	w.register(t, "team-a", namespace)
	w.runJobManager(t, namespace)
	id := string(w.object(t, "Deployment", namespace, "my-job").GetUID())
	w.MustKubectl(t, fmt.Sprintf(mislabeled, id), "create", "-n", namespace, "-f", "-")

	const pod = "my-job-taskmanager-1-1"
	program, err := drey.Build(t.Context(), t.TempDir())
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
		t.Fatalf("the audit does not tell of the pod:\n%s", out)
	}
	if out, err := w.RunKubectl(t, "", "label", "pod", pod, "-n", namespace, "vvpNamespace-"); err == nil {
		t.Errorf("a label that is right was taken off: %s", out)
	}
	audit("--repair")
	labels := w.object(t, "Pod", namespace, pod).GetLabels()
	want := map[string]string{
		"app": "my-job", "component": "taskmanager", "type": "flink-native-kubernetes", "drey.dev/app": "flink-job", "system": "ververica-platform", "vvpNamespace": "team-a",
		"deploymentId": id, "deploymentName": "my-job",
	}
	if !maps.Equal(labels, want) {
		t.Errorf("the pod has the labels %v, want %v", labels, want)
	}
	if out := audit(); strings.Contains(out, pod) {
		t.Errorf("the audit still tells of it:\n%s", out)
	}
}
