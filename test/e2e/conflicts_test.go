package e2e

import (
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"drey.dev/drey/test/framework/eventually"
)

// unadmittedPod is a pod created during an outage: of a JobManager, or of nginx.
const unadmittedPod = `
apiVersion: v1
kind: Pod
metadata: {name: NAME, labels: {LABELS}}
spec: {containers: [{name: CONTAINER, image: "flink:2.2"}]}
---
`

// unadmittedDeployment is a Deployment owned by a custom resource that does not exist.
const unadmittedDeployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME, labels: {LABELS}, ownerReferences: [` + missingOwner + `]}
spec:
  selector: {matchLabels: {run: NAME}}
  template:
    metadata: {labels: {run: NAME TEMPLATE}}
    spec: {containers: [{name: flink-main-container, image: "flink:2.2", args: [kubernetes-jobmanager.sh, kubernetes-application]}]}
---
`

// foreignIDsOutage: objects created with the id or the platform namespace of another
// during an outage are reported by events, the metric and the audit after the first scan. They
// and their labels stay. The pods of a Deployment with a foreign id do not inherit it, even
// after the reference to its nonexistent owner was removed.
func foreignIDsOutage(t *testing.T, w *world) (c outageCase) {
	namespace, other := w.Namespace(t), w.Namespace(t)
	uid := func(kind, namespace, name string) string { return string(w.get(t, kind, namespace, name).GetUID()) }
	podOf := func(t *testing.T, name string) string {
		t.Helper()
		for _, p := range w.list(t, "Pod", namespace) {
			if p.GetLabels()["run"] == name {
				return p.GetName()
			}
		}
		t.Fatalf("Deployment %s has no pod", name)
		return ""
	}
	var victim string
	c.up = func(t *testing.T) {
		w.register(t, "team-a", namespace)
		w.register(t, "team-b", other)
		w.runJobManager(t, namespace)
		w.runJobManager(t, other)
	}
	c.down = func(t *testing.T) {
		victim = uid("Deployment", other, "my-job")
		own := uid("Deployment", namespace, "my-job")
		system := "system: ververica-platform, drey.dev/app: flink-job, "
		pod := func(name, labels, container string) string {
			return strings.NewReplacer("NAME", name, "LABELS", labels, "CONTAINER", container).Replace(unadmittedPod)
		}
		deployment := func(name, labels, template string) string {
			return strings.NewReplacer("NAME", name, "LABELS", labels, "TEMPLATE", template).Replace(unadmittedDeployment)
		}
		w.MustKubectl(t, ""+
			pod("complete", system+"vvpNamespace: team-a, jobId: a, deploymentName: my-job, deploymentId: "+victim, "flink-main-container")+
			pod("of-nginx", system+"vvpNamespace: team-a, deploymentId: "+victim, "web")+
			pod("session", "sessionClusterId: "+victim, "flink-main-container")+
			pod("platform", system+"vvpNamespace: team-b, deploymentId: nobodys, jobId: a", "flink-main-container")+
			deployment("id", system+"vvpNamespace: team-a, deploymentId: "+victim, "")+
			deployment("stated", system+"vvpNamespace: team-a, deploymentId: "+victim, ", deploymentId: "+victim)+
			deployment("theirs", system+"vvpNamespace: team-b", "")+
			pod("restored", system+"vvpNamespace: team-a, jobId: a, deploymentId: 11111111-2222-4333-8444-555555555555", "flink-main-container")+
			strings.ReplaceAll(pod("nobodys", "deploymentId: "+victim, "web"), "flink:2.2", "nginx")+
			taskManagerPod("of-my-job", ", deploymentId: "+own, w.deploymentReference(t, namespace, "my-job")),
			"create", "-n", namespace, "-f", "-")
		for _, name := range []string{"id", "stated", "theirs"} {
			w.MustKubectl(t, "", "patch", "deployment", name, "-n", namespace, "--type=json", "-p", `[{"op":"remove","path":"/metadata/ownerReferences"}]`)
		}
		eventually.OK(t, func() error {
			if n := len(w.list(t, "Pod", namespace)); n != 11 {
				return fmt.Errorf("%d pods, want 11", n)
			}
			return nil
		})
	}
	c.again = func(t *testing.T) {
		want := map[string]bool{
			"Pod/complete": true, "Pod/of-nginx": true, "Pod/session": true, "Pod/platform": true,
			"Deployment/id": true, "Deployment/stated": true, "Pod/" + podOf(t, "stated"): true, "Deployment/theirs": true, "Pod/" + podOf(t, "theirs"): true,
		}
		eventually.OK(t, func() error { // the second scan comes later
			if got := w.conflicts(t, namespace); !maps.Equal(got, want) {
				return fmt.Errorf("objects with an event: %v, want %v", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
			}
			return nil
		})
		eventually.OK(t, func() error {
			_, value, _ := strings.Cut(w.metrics(t), "\ndrey_label_conflicts ")
			all := w.conflicts(t, "") // other cases may have some
			if value, _, _ = strings.Cut(value, "\n"); value != strconv.Itoa(len(all)) {
				return fmt.Errorf("drey_label_conflicts: got %q, want the number of objects with an event: %v", value, slices.Sorted(maps.Keys(all)))
			}
			return nil
		})
		program, err := buildDrey()
		if err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), program, "audit", "-n", namespace, "--kubeconfig", w.Kubeconfig(), "--server", w.drey.REST).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		for line := range strings.Lines(string(out)) {
			fields := strings.Fields(line)
			if len(fields) < 4 || !strings.Contains(fields[1], "/") || fields[0] != namespace {
				continue
			}
			if reported := fields[3] == "LabelConflict"; reported != want[fields[1]] {
				t.Errorf("audit of %s: %s", fields[1], line)
			}
			delete(want, fields[1])
		}
		if len(want) > 0 {
			t.Errorf("the audit lacks %v:\n%s", want, out)
		}

		// All pods keep running, and inherited no foreign id.
		eventually.OK(t, func() error {
			if labels := w.get(t, "Pod", namespace, podOf(t, "id")).GetLabels(); labels["deploymentId"] != uid("Deployment", namespace, "id") {
				return fmt.Errorf("the pod of a Deployment with a foreign id has the labels %v", labels)
			}
			return nil
		})
		if labels := w.get(t, "Pod", namespace, "complete").GetLabels(); labels["deploymentId"] != victim {
			t.Errorf("the id of a running pod was changed: %v", labels)
		}
		remade := func(name string) map[string]string { // so that its job can recover
			t.Helper()
			w.MustKubectl(t, "", "delete", "pod", podOf(t, name), "-n", namespace, "--now")
			var labels map[string]string
			eventually.OK(t, func() error {
				for _, p := range w.list(t, "Pod", namespace) {
					if labels = p.GetLabels(); labels["run"] == name && labels["system"] != "" {
						return nil
					}
				}
				return fmt.Errorf("Deployment %s has no labeled pod", name)
			})
			return labels
		}
		if labels := remade("id"); labels["deploymentId"] == victim {
			t.Errorf("a new pod got a foreign id: %v", labels)
		}
		remade("stated")
		w.MustKubectl(t, "", "label", "deployment", "stated", "-n", namespace, "--overwrite", "deploymentId="+uid("Deployment", namespace, "stated"))
		w.MustKubectl(t, "", "label", "deployment", "theirs", "-n", namespace, "--overwrite", "vvpNamespace=team-a")
		eventually.OK(t, func() error { // drey sees the new label by a watch
			if labels := remade("theirs"); labels["vvpNamespace"] != "team-a" {
				return fmt.Errorf("the label of the Deployment was corrected, and its new pod has the labels %v", labels)
			}
			return nil
		})
	}
	return c
}

// conflicts returns the objects of a namespace with an event LabelConflict. An empty namespace stands
// for all.
func (w *world) conflicts(t testing.TB, namespace string) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	for _, e := range w.list(t, "Event", namespace) {
		if reason, _, _ := unstructured.NestedString(e.Object, "reason"); reason != "LabelConflict" {
			continue
		}
		about, _, _ := unstructured.NestedStringMap(e.Object, "involvedObject")
		found[about["kind"]+"/"+about["name"]] = true
	}
	return found
}
