package kubectl

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"
)

// setManifests are a namespace, its target and workloads in one set. NS is the namespace,
// HOME the platform namespace.
const setManifests = `
apiVersion: v1
kind: Namespace
metadata: {name: NS}
---
apiVersion: drey.dev/v1
kind: DeploymentTarget
metadata: {name: NS, namespace: HOME}
spec: {kubernetes: {namespace: NS}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: jm, namespace: NS}
spec:
  selector: {matchLabels: {app: flink}}
  template: {metadata: {labels: {app: flink, component: jobmanager}}, spec: {containers: [{name: jobmanager, image: "flink:1.20", args: [standalone-job]}]}}
---
apiVersion: flink.apache.org/v1beta1
kind: FlinkDeployment
metadata: {name: fd, namespace: NS}
spec: {job: {}}
---
apiVersion: v1
kind: Pod
metadata: {name: bare, namespace: NS, labels: {component: jobmanager}}
spec: {containers: [{name: jobmanager, image: "flink:1.20", args: [standalone-job]}]}
`

// setWorld returns the world with Flink's custom resources.
func setWorld(t *testing.T) *world {
	t.Helper()
	w, err := flinkWorld()
	if err != nil {
		t.Fatal(err)
	}
	w.drey.LogOnFailure(t)
	return w
}

// newSet returns the manifests of a set with a namespace of its own, which does not exist.
func (w *world) newSet(t *testing.T) (namespace, manifests string) {
	t.Helper()
	home := w.Namespace(t)
	namespace = home + "-set"
	t.Cleanup(func() { _, _ = w.RunKubectl(t, "", "delete", "namespace", namespace, "--wait=false") })
	return namespace, strings.NewReplacer("NS", namespace, "HOME", home).Replace(setManifests)
}

// TestSetApply applies sets in the order of their manifests: the workloads after the target
// are admitted.
func TestSetApply(t *testing.T) {
	w := setWorld(t)
	for range 5 {
		_, manifests := w.newSet(t)
		if out, err := w.RunKubectl(t, manifests, "apply", "-f", "-"); err != nil {
			t.Errorf("kubectl apply: %v: %s", err, out)
		}
	}
}

// TestSetWithoutPause creates the target of an existing namespace, and Flink workloads as soon as the
// API server has responded: all are admitted, and the pod is labeled.
func TestSetWithoutPause(t *testing.T) {
	w := setWorld(t)
	config := rest.CopyConfig(w.Config())
	config.QPS = -1
	api, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		namespace, manifests := w.newSet(t)
		w.MustKubectl(t, "", "create", "namespace", namespace)
		w.MustKubectl(t, "", "wait", "--for=create", "serviceaccount/default", "-n", namespace)
		parts := strings.Split(manifests, "---")
		for _, text := range []string{parts[1], parts[4], parts[2], parts[3]} { // the pod directly after the target
			var o unstructured.Unstructured
			if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
				t.Fatal(err)
			}
			gvr := map[string]schema.GroupVersionResource{
				"DeploymentTarget": {Group: "drey.dev", Version: "v1", Resource: "deploymenttargets"},
				"Deployment":       {Group: "apps", Version: "v1", Resource: "deployments"},
				"FlinkDeployment":  {Group: "flink.apache.org", Version: "v1beta1", Resource: "flinkdeployments"},
				"Pod":              {Version: "v1", Resource: "pods"},
			}[o.GetKind()]
			created, err := api.Resource(gvr).Namespace(o.GetNamespace()).Create(t.Context(), &o, metav1.CreateOptions{})
			if err != nil {
				t.Errorf("create %s: %v", o.GetKind(), err)
			} else if o.GetKind() == "Pod" && created.GetLabels()["system"] != "ververica-platform" {
				t.Errorf("labels of the pod: got %v, want drey's", created.GetLabels())
			}
		}
	}
}
