package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

// subresourceRole grants all verbs on subresources of workloads.
const subresourceRole = `
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: subresources}
rules:
- {apiGroups: ["", apps, batch], resources: [pods/status, pods/binding, bindings, pods/ephemeralcontainers, pods/resize, deployments/status, deployments/scale,
    statefulsets/status, statefulsets/scale, daemonsets/status, replicasets/status, replicasets/scale, jobs/status, cronjobs/status, replicationcontrollers/status], verbs: ["*"]}
`

// TestSubresourceLabels writes labels through subresources: the labels of labeled objects do not
// change, and unlabeled objects get no label of drey's.
func TestSubresourceLabels(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	namespace, other := w.Namespace(t), w.Namespace(t)
	w.register(t, "team-a", namespace)
	w.runJobManager(t, namespace)
	user := "mallory-" + namespace
	for _, n := range []string{namespace, other} {
		w.MustKubectl(t, subresourceRole, "create", "-n", n, "-f", "-")
		w.MustKubectl(t, "", "create", "rolebinding", "subresources", "-n", n, "--role=subresources", "--user="+user)
	}
	w.MustKubectl(t, nginxWorkload("Deployment", "web", "", "")+"---"+nginxWorkload("StatefulSet", "web", "", "")+"---"+nginxWorkload("Job", "web", "", "")+"---"+nginxWorkload("Pod", "web", "", ""),
		"create", "-n", other, "-f", "-")
	w.MustKubectl(t, strings.ReplaceAll(statefulSet, "replicas: 1", "replicas: 0"), "create", "-n", namespace, "-f", "-")
	api := w.impersonate(t, user)
	pod := w.list(t, "Pod", namespace)[0].GetName()
	patch := func(kind, namespace, name, subresource, labels string) {
		t.Helper()
		resource := w.api.Resource(resources[kind]).Namespace(namespace)
		before, err := resource.Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		_, denial := api.Resource(resources[kind]).Namespace(namespace).Patch(t.Context(), name, types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"labels":{%s}}}`, labels), metav1.PatchOptions{}, subresource)
		after, err := resource.Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		was, is := fmt.Sprint(before.GetLabels()), fmt.Sprint(after.GetLabels())
		if was != is {
			t.Errorf("labels of %s %s/%s after a patch of %s: got %s, want %s", kind, namespace, name, subresource, is, was)
		}
		if denial != nil && !strings.Contains(denial.Error(), "drey") && !strings.Contains(denial.Error(), "does not allow") && !strings.Contains(denial.Error(), "could not find") {
			t.Errorf("%s/%s: got %v, want a denial by drey or no effect", kind, subresource, denial)
		}
	}
	const labels = `"system":"ververica-platform","vvpNamespace":"team-b","deploymentId":"x"`
	for _, subresource := range []string{"status", "ephemeralcontainers", "resize"} {
		patch("Pod", namespace, pod, subresource, `"deploymentId":"x"`)
		patch("Pod", namespace, pod, subresource, `"system":null`)
		patch("Pod", other, "web", subresource, labels)
		patch("Pod", other, "web", subresource, `"type":"flink-native-kubernetes"`)
	}
	for _, kind := range []string{"Deployment", "StatefulSet", "Job"} {
		for _, subresource := range []string{"status", "scale"} {
			if kind != "Job" || subresource != "scale" {
				patch(kind, other, "web", subresource, labels)
			}
		}
	}

	for _, n := range []string{namespace, other} {
		for _, subresource := range []string{"status", "finalize"} {
			for _, value := range []string{`"draining"`, `null`, `"true"`} {
				before := w.registered(t, n)
				var err error
				if subresource == "status" {
					_, err = w.impersonate(t, clusterAdmin).Resource(resources["Namespace"]).Patch(t.Context(), n, types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"labels":{"drey.dev/registered":%s}}}`, value), metav1.PatchOptions{}, subresource)
				} else {
					err = w.finalize(t, n, value)
				}
				if after := w.registered(t, n); after != before {
					t.Errorf("drey.dev/registered of %s after a write of namespaces/%s: got %q, want %q: %v", n, subresource, after, before, err)
				}
			}
		}
	}

	for _, labels := range []map[string]any{{"system": "ververica-platform", "vvpNamespace": "team-b"}, {"type": "flink-native-kubernetes"}} {
		binding := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "Binding", "metadata": map[string]any{"name": "web", "labels": labels}, "target": map[string]any{"kind": "Node", "name": "nowhere"},
		}}
		_, err := api.Resource(resources["Pod"]).Namespace(other).Create(t.Context(), binding, metav1.CreateOptions{}, "binding")
		if err == nil || !strings.Contains(err.Error(), "drey") {
			t.Errorf("pods/binding with the labels %v: got %v, want a denial", labels, err)
		}
		bindings := resources["Pod"]
		bindings.Resource = "bindings"
		if _, err := api.Resource(bindings).Namespace(other).Create(t.Context(), binding, metav1.CreateOptions{}); err == nil || !strings.Contains(err.Error(), "drey") {
			t.Errorf("Binding with the labels %v: got %v, want a denial", labels, err)
		}
	}
	if got := w.MustKubectl(t, "", "get", "pod", "web", "-n", other, "-o", "jsonpath={.metadata.labels}"); strings.Contains(got, "team-b") || strings.Contains(got, "native") {
		t.Errorf("labels of the pod after Bindings: got %s, want none of drey's", got)
	}
	binding := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Binding", "metadata": map[string]any{"name": "web", "labels": map[string]any{"topology.kubernetes.io/zone": "a"}}, "target": map[string]any{"kind": "Node", "name": "nowhere"},
	}}
	if _, err := api.Resource(resources["Pod"]).Namespace(other).Create(t.Context(), binding, metav1.CreateOptions{}, "binding"); err != nil {
		t.Errorf("Binding as by the scheduler: %v", err)
	}
}

// finalize sets the label drey.dev/registered through the subresource finalize of a namespace.
// The value is JSON; null removes the label.
func (w *world) finalize(t testing.TB, namespace, value string) error {
	t.Helper()
	n := w.get(t, "Namespace", "", namespace)
	labels := n.GetLabels()
	delete(labels, "drey.dev/registered")
	if value != "null" {
		var text string
		if err := json.Unmarshal([]byte(value), &text); err != nil {
			t.Fatal(err)
		}
		labels["drey.dev/registered"] = text
	}
	n.SetLabels(labels)
	_, err := w.impersonate(t, clusterAdmin).Resource(resources["Namespace"]).Update(t.Context(), n, metav1.UpdateOptions{}, "finalize")
	return err
}
