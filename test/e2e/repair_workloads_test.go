package e2e

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"

	"drey.dev/drey/test/framework/drey/installed"
	"drey.dev/drey/test/framework/eventually"
	"drey.dev/drey/webhook/flink"
)

// unlabeledWorkloads are objects that neither admission nor repair labels. All but the CronJob
// are without Flink.
const unlabeledWorkloads = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: nginx}]}}
---
apiVersion: v1
kind: Service
metadata: {name: web, labels: {app: web, component: jobmanager}}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: web}
data: {index.html: hello}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec:
  schedule: "0 0 1 1 *"
  jobTemplate:
    spec:
      template:
        metadata: {labels: {app: nightly, component: jobmanager, type: flink-native-kubernetes}}
        spec: {restartPolicy: OnFailure, containers: [{name: flink-main-container, image: "flink:2.2"}]}
`

// terminating is a ConfigMap of a Flink cluster with a finalizer. The test deletes it.
const terminating = `
apiVersion: v1
kind: ConfigMap
metadata: {name: terminating, labels: {app: gone, type: flink-native-kubernetes}, finalizers: [example.com/hold]}
`

// TestRepairWorkloadsAfterOutage has the objects of Flink clusters created while drey and its
// webhooks are gone. After a restart they have the labels that admission adds, and are
// otherwise unchanged.
func TestRepairWorkloadsAfterOutage(t *testing.T) {
	t.Parallel()
	w := ownWorld(t)
	const excluded = "kube-public"
	namespace := w.Namespace(t)
	w.register(t, "team-a", namespace)
	w.register(t, "team-a", excluded)
	w.killDrey(t)
	// The webhooks for objects other than pods fail closed.
	w.MustKubectl(t, "", "delete", "validatingwebhookconfiguration/drey", "mutatingwebhookconfiguration/drey")
	s := &scope{w, namespace}
	eventually.OK(t, func() error { return s.apply(t, flavorObjects(t, "native")[0]) }) // the API server follows configurations by a watch
	for _, flavor := range []string{"native", "operator-native", "docs-application"} {
		for _, o := range flavorObjects(t, flavor) {
			if err := s.apply(t, o); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, r := range flink.CustomResources {
		if _, err := w.create(t.Context(), namespace, suspendedResource(r, "suspended")); err != nil {
			t.Fatal(err)
		}
	}
	w.MustKubectl(t, unlabeledWorkloads, "apply", "-n", namespace, "-f", "-")
	for _, ns := range []string{namespace, excluded} {
		w.MustKubectl(t, terminating, "apply", "-n", ns, "-f", "-")
	}
	w.MustKubectl(t, "", "run", "bare", "-n", excluded, "--image=flink:2.2", "--labels=type=flink-native-kubernetes,app=bare,component=jobmanager")
	w.MustKubectl(t, "", "delete", "configmap", "terminating", "-n", namespace, "--wait=false")
	eventually.OK(t, func() error { return w.checkPodCount(t, namespace, 7) }) // the second pod of the StatefulSet waits for its first
	id := func(kind, name string) string { return string(w.get(t, kind, namespace, name).GetUID()) }
	app := func(id, name string) map[string]string {
		return map[string]string{"system": "ververica-platform", "vvpNamespace": "team-a", "deploymentId": id, "deploymentName": name}
	}
	suspended := func(kind string) map[string]string { return app(id(kind, "suspended"), "suspended") }
	want := map[[2]string]map[string]string{
		{"Deployment", "my-job"}:                  app(id("Deployment", "my-job"), "my-job"),
		{"Service", "my-job-rest"}:                app(id("Deployment", "my-job"), "my-job"),
		{"ConfigMap", "flink-config-my-job"}:      app(id("Deployment", "my-job"), "my-job"),
		{"FlinkDeployment", "orders"}:             app(id("FlinkDeployment", "orders"), "orders"),
		{"Deployment", "orders"}:                  app(id("FlinkDeployment", "orders"), "orders"),
		{"Job", "nuts-jobmanager"}:                app(id("Job", "nuts-jobmanager"), "nuts"),
		{"StatefulSet", "nuts-taskmanager"}:       {"system": "ververica-platform", "vvpNamespace": "team-a"}, // its mode is unknown
		{"FlinkDeployment", "suspended"}:          suspended("FlinkDeployment"),
		{"FlinkCluster", "suspended"}:             suspended("FlinkCluster"),
		{"FlinkSessionJob", "suspended"}:          {"system": "ververica-platform", "vvpNamespace": "team-a"},
		{"FlinkBlueGreenDeployment", "suspended"}: suspended("FlinkBlueGreenDeployment"),
	}
	untouched := [][2]string{
		{"Deployment", "web"}, {"Service", "web"}, {"ConfigMap", "web"}, {"ConfigMap", "terminating"}, {"CronJob", "nightly"},
		{"FlinkApplication", "suspended"}, // its operator redeploys the job when labels change
	}
	before := map[[2]string]*unstructured.Unstructured{}
	for which := range want {
		before[which] = w.get(t, which[0], namespace, which[1])
	}
	for _, which := range untouched {
		before[which] = w.get(t, which[0], namespace, which[1])
	}
	replicaSets := withoutLabelsAll(w.list(t, "ReplicaSet", namespace))

	w.restartDrey(t)
	eventually.OK(t, func() error {
		for which, labels := range want {
			if got := w.get(t, which[0], namespace, which[1]).GetLabels(); !containsLabels(got, labels) {
				return fmt.Errorf("labels of %v: got %v, want %v", which, got, labels)
			}
		}
		return nil
	})
	for which, was := range before {
		now := w.get(t, which[0], namespace, which[1])
		if diff := cmp.Diff(withoutLabels(was), withoutLabels(now)); diff != "" || !containsLabels(now.GetLabels(), was.GetLabels()) {
			t.Errorf("%v after the repair: labels %v, had %v; the rest (-want +got):\n%s", which, now.GetLabels(), was.GetLabels(), diff)
		}
	}
	for _, which := range untouched {
		if now := w.get(t, which[0], namespace, which[1]); !maps.Equal(now.GetLabels(), before[which].GetLabels()) {
			t.Errorf("labels of %v: got %v, want %v", which, now.GetLabels(), before[which].GetLabels())
		}
	}
	if diff := cmp.Diff(replicaSets, withoutLabelsAll(w.list(t, "ReplicaSet", namespace))); diff != "" {
		t.Errorf("ReplicaSets after the repair (-want +got):\n%s", diff)
	}
	for _, which := range [][2]string{{"ConfigMap", "terminating"}, {"Pod", "bare"}} {
		if labels := w.get(t, which[0], excluded, which[1]).GetLabels(); labels["system"] != "" {
			t.Errorf("labels of %v in an excluded namespace: got %v, want none of drey's", which, labels)
		}
	}
	for _, which := range [][2]string{{"Deployment", "my-job"}, {"Service", "my-job-rest"}, {"ConfigMap", "flink-config-my-job"}, {"FlinkDeployment", "suspended"}} {
		eventually.OK(t, func() error {
			out := w.MustKubectl(t, "", "get", "events", "-n", namespace, "--field-selector", "reason=Labeled,involvedObject.kind="+which[0]+",involvedObject.name="+which[1])
			if !strings.Contains(out, "vvpNamespace=team-a") {
				return fmt.Errorf("no event Labeled about %v: %s", which, out)
			}
			return nil
		})
	}
	if text := w.metrics(t); !strings.Contains(text, `drey_repaired_objects_total{kind="ConfigMap"} 1`) || !strings.Contains(text, `drey_repaired_objects_total{kind="Deployment"} 2`) {
		t.Error("drey_repaired_objects_total: want 1 ConfigMap and 2 Deployments")
	}
	t.Run("the policy drey-repair limits drey to labels", func(t *testing.T) { w.checkRepairPolicy(t, namespace) })
}

// checkRepairPolicy patches objects as drey's ServiceAccount. RBAC allows all of the patches,
// and the policy drey-repair allows those of labels.
func (w *world) checkRepairPolicy(t *testing.T, namespace string) {
	t.Helper()
	kubeconfig, err := installed.Kubeconfig(t.Context(), w.Cluster, "drey-system")
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	self, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	large := strings.Repeat("x", 900<<10)
	w.MustKubectl(t, "", "create", "configmap", "large", "-n", namespace)
	if err := (&scope{w, namespace}).patch(t, "ConfigMap", "large", `{"data":{"a":"`+large+`"}}`); err != nil {
		t.Errorf("patch as another user: %v", err)
	}
	pod := w.list(t, "Pod", namespace)[0].GetName()
	for _, c := range []struct {
		kind, name, patch string
		allowed           bool
	}{
		{"Deployment", "web", `{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"evil"}]}}}}`, false},
		{"Deployment", "web", `{"spec":{"replicas":7}}`, false},
		{"Deployment", "web", `{"metadata":{"annotations":{"a":"b"}}}`, false},
		{"Deployment", "web", `{"metadata":{"finalizers":["example.com/hold"]}}`, false},
		{"Deployment", "web", `{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"web","uid":"1"}]}}`, false},
		{"Deployment", "web", `{"metadata":{"labels":{"app":"other"}}}`, false},
		{"Deployment", "web", `{"metadata":{"labels":{"app":null}}}`, false},
		{"Deployment", "web", `{"metadata":{"labels":{"role":"database"}}}`, false},
		{"Deployment", "web", `{"metadata":{"labels":{"drey.dev/app":"web"}}}`, true},
		{"StatefulSet", "nuts-taskmanager", `{"spec":{"template":{"spec":{"serviceAccountName":"other"}}}}`, false},
		{"Job", "nuts-jobmanager", `{"spec":{"suspend":true}}`, false},
		{"Service", "web", `{"spec":{"selector":{"app":"other"}}}`, false},
		{"Service", "web", `{"metadata":{"labels":{"system":"x"}}}`, true},
		{"ConfigMap", "web", `{"data":{"index.html":"bye"}}`, false},
		{"ConfigMap", "web", `{"data":null}`, false},
		{"ConfigMap", "web", `{"immutable":true}`, false},
		{"ConfigMap", "web", `{"binaryData":{"a":"YQ=="}}`, false},
		{"ConfigMap", "web", `{"metadata":{"labels":{"system":"x","deploymentId":"1"}}}`, true},
		{"ConfigMap", "large", `{"data":{"a":"` + large[1:] + `"}}`, false},
		{"ConfigMap", "large", `{"metadata":{"labels":{"system":"x"}}}`, true},
		{"Pod", pod, `{"spec":{"containers":[{"name":"flink-main-container","image":"evil"}]}}`, false},
		{"FlinkDeployment", "suspended", `{"spec":{"image":"evil"}}`, false},
		{"FlinkDeployment", "suspended", `{"spec":null}`, false},
		{"FlinkCluster", "suspended", `{"metadata":{"annotations":{"flinkclusters.flinkoperator.k8s.io/user-control":"job-cancel"}}}`, false},
	} {
		kind := types.StrategicMergePatchType
		if strings.HasPrefix(c.kind, "Flink") {
			kind = types.MergePatchType
		}
		_, err := self.Resource(resources[c.kind]).Namespace(namespace).Patch(t.Context(), c.name, kind, []byte(c.patch), metav1.PatchOptions{DryRun: []string{"All"}})
		switch {
		case c.allowed && err != nil:
			t.Errorf("%s %.120s: %v", c.kind, c.patch, err)
		case !c.allowed && (!apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "drey-repair")):
			t.Errorf("%s %.120s: got %v, want a denial by drey-repair", c.kind, c.patch, err)
		}
	}
}

// withoutLabels returns an object without its labels, its status, and the metadata that
// changes with each write.
func withoutLabels(o *unstructured.Unstructured) map[string]any {
	e := o.DeepCopy().Object
	delete(e, "status")
	for _, field := range []string{"labels", "managedFields", "resourceVersion"} {
		unstructured.RemoveNestedField(e, "metadata", field)
	}
	unstructured.RemoveNestedField(e, "metadata", "annotations", "deployment.kubernetes.io/revision") // set with the first ReplicaSet
	return e
}

func withoutLabelsAll(objects []unstructured.Unstructured) (all []map[string]any) {
	for i := range objects {
		all = append(all, withoutLabels(&objects[i]))
	}
	return all
}
