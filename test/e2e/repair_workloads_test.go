package e2e

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

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

// strangers are not Flink's, but for the CronJob, which admission does not label either.
const strangers = `
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

// terminating is Flink's, but is being deleted.
const terminating = `
apiVersion: v1
kind: ConfigMap
metadata: {name: terminating, labels: {app: gone, type: flink-native-kubernetes}, finalizers: [example.com/hold]}
`

// TestRepairWorkloadsAfterOutage has all that belongs to Flink clusters
// come while nobody answers: once drey is back, it has the labels that admission gives, and
// nothing else about it has changed.
func TestRepairWorkloadsAfterOutage(t *testing.T) {
	t.Parallel()
	w := ownWorld(t)
	c := w.Cluster
	const home = "kube-public"
	namespace := w.Namespace(t)
	w.register(t, "team-a", namespace)
	w.register(t, "team-a", home) // which drey leaves alone, target or not
	if err := w.drey.Kill(); err != nil {
		t.Fatal(err)
	}
	// Else what is no pod would have to wait for drey.
	w.MustKubectl(t, "", "delete", "validatingwebhookconfiguration/drey", "mutatingwebhookconfiguration/drey")
	p := &plane{w, namespace}
	eventually.OK(t, 20*time.Second, func() error { return p.apply(t, flavorObjects(t, "native")[0]) }) // the API server forgets a webhook a moment later
	for _, flavor := range []string{"native", "operator-native", "docs-application"} {
		for _, o := range flavorObjects(t, flavor) {
			if err := p.apply(t, o); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, r := range flink.CustomResources {
		if _, err := w.create(t.Context(), namespace, suspendedResource(r, "suspended")); err != nil {
			t.Fatal(err)
		}
	}
	w.MustKubectl(t, strangers, "apply", "-n", namespace, "-f", "-")
	for _, ns := range []string{namespace, home} {
		w.MustKubectl(t, terminating, "apply", "-n", ns, "-f", "-")
	}
	w.MustKubectl(t, "", "run", "bare", "-n", home, "--image=flink:2.2", "--labels=type=flink-native-kubernetes,app=bare,component=jobmanager")
	w.MustKubectl(t, "", "delete", "configmap", "terminating", "-n", namespace, "--wait=false")
	eventually.OK(t, 20*time.Second, func() error {
		if n := len(w.list(t, "Pod", namespace)); n != 7 { // a StatefulSet makes its second when its first is ready
			return fmt.Errorf("there are %d pods", n)
		}
		return nil
	})
	id := func(kind, name string) string { return string(w.object(t, kind, namespace, name).GetUID()) }
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
		{"StatefulSet", "nuts-taskmanager"}:       {"system": "ververica-platform", "vvpNamespace": "team-a"}, // its mode does not show
		{"FlinkDeployment", "suspended"}:          suspended("FlinkDeployment"),
		{"FlinkCluster", "suspended"}:             suspended("FlinkCluster"),
		{"FlinkSessionJob", "suspended"}:          {"system": "ververica-platform", "vvpNamespace": "team-a"},
		{"FlinkBlueGreenDeployment", "suspended"}: suspended("FlinkBlueGreenDeployment"),
	}
	untouched := [][2]string{
		{"Deployment", "web"}, {"Service", "web"}, {"ConfigMap", "web"}, {"ConfigMap", "terminating"}, {"CronJob", "nightly"},
		{"FlinkApplication", "suspended"}, // its operator would redeploy the job
	}
	before := map[[2]string]*unstructured.Unstructured{}
	for which := range want {
		before[which] = w.object(t, which[0], namespace, which[1])
	}
	for _, which := range untouched {
		before[which] = w.object(t, which[0], namespace, which[1])
	}
	replicaSets := essences(w.list(t, "ReplicaSet", namespace))

	var err error
	if w.drey, err = newDrey(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	defer w.drey.Stop()
	w.drey.LogOnFailure(t)
	eventually.OK(t, 30*time.Second, func() error {
		for which, labels := range want {
			if got := w.object(t, which[0], namespace, which[1]).GetLabels(); !contains(got, labels) {
				return fmt.Errorf("%v has the labels %v, want %v", which, got, labels)
			}
		}
		return nil
	})
	for which, was := range before {
		if now := w.object(t, which[0], namespace, which[1]); !reflect.DeepEqual(essenceOf(now), essenceOf(was)) || !contains(now.GetLabels(), was.GetLabels()) {
			t.Errorf("%v is now %v\nand was %v", which, now, was)
		}
	}
	for _, which := range untouched {
		if now := w.object(t, which[0], namespace, which[1]); !maps.Equal(now.GetLabels(), before[which].GetLabels()) {
			t.Errorf("%v has got the labels %v", which, now.GetLabels())
		}
	}
	if now := essences(w.list(t, "ReplicaSet", namespace)); !reflect.DeepEqual(now, replicaSets) {
		t.Errorf("the ReplicaSets are now %v\nand were %v", now, replicaSets)
	}
	for _, which := range [][2]string{{"ConfigMap", "terminating"}, {"Pod", "bare"}} {
		if labels := w.object(t, which[0], home, which[1]).GetLabels(); labels["system"] != "" {
			t.Errorf("%v in a namespace of the system's is labeled: %v", which, labels)
		}
	}
	for _, which := range [][2]string{{"Deployment", "my-job"}, {"Service", "my-job-rest"}, {"ConfigMap", "flink-config-my-job"}, {"FlinkDeployment", "suspended"}} {
		eventually.OK(t, 10*time.Second, func() error {
			out := w.MustKubectl(t, "", "get", "events", "-n", namespace, "--field-selector", "reason=Labeled,involvedObject.kind="+which[0]+",involvedObject.name="+which[1])
			if !strings.Contains(out, "vvpNamespace=team-a") {
				return errors.New("no event tells of it: " + out)
			}
			return nil
		})
	}
	if text := w.metrics(t); !strings.Contains(text, `drey_repaired_objects_total{kind="ConfigMap"} 1`) || !strings.Contains(text, `drey_repaired_objects_total{kind="Deployment"} 2`) {
		t.Error("the metrics do not count what was repaired")
	}
	t.Run("drey may change labels alone", func(t *testing.T) { w.changesLabelsAlone(t, namespace) })
}

// changesLabelsAlone tries as drey's own ServiceAccount what its rights to patch would
// allow, were it not for the policy.
func (w *world) changesLabelsAlone(t *testing.T, namespace string) {
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
	if err := (&plane{w, namespace}).patch(t, "ConfigMap", "large", `{"data":{"a":"`+large+`"}}`); err != nil {
		t.Error("the policy holds others, too:", err)
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
			t.Errorf("%s %.120s: got %v", c.kind, c.patch, err)
		}
	}
}

// object reads one as it is now.
func (w *world) object(t testing.TB, kind, namespace, name string) *unstructured.Unstructured {
	t.Helper()
	o, err := w.api.Resource(resources[kind]).Namespace(namespace).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// essenceOf is all of an object that nobody but its owner may change.
func essenceOf(o *unstructured.Unstructured) map[string]any {
	e := o.DeepCopy().Object
	delete(e, "status")
	for _, field := range []string{"labels", "managedFields", "resourceVersion"} {
		unstructured.RemoveNestedField(e, "metadata", field)
	}
	unstructured.RemoveNestedField(e, "metadata", "annotations", "deployment.kubernetes.io/revision") // which comes with the first ReplicaSet
	return e
}

func essences(all []unstructured.Unstructured) (e []map[string]any) {
	for i := range all {
		e = append(e, essenceOf(&all[i]))
	}
	return e
}

func contains(have, want map[string]string) bool {
	for key, value := range want {
		if have[key] != value {
			return false
		}
	}
	return true
}

// metrics reads those of drey.
func (w *world) metrics(t testing.TB) string {
	t.Helper()
	response, err := http.Get(w.drey.Metrics + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
