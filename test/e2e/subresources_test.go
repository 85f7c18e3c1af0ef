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

const subresourceRole = `
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: subresources}
rules:
- {apiGroups: ["", apps, batch], resources: [pods/status, pods/binding, bindings, pods/ephemeralcontainers, pods/resize, deployments/status, deployments/scale,
    statefulsets/status, statefulsets/scale, daemonsets/status, replicasets/status, replicasets/scale, jobs/status, cronjobs/status, replicationcontrollers/status], verbs: ["*"]}
`

// TestSubresourceLabels has everybody who may write a subresource change labels by it:
// of what is labeled none is changed, and what is not does not get any that say whose it is.
func TestSubresourceLabels(t *testing.T) {
	w := inWorld(t)
	t.Parallel()
	namespace, other := w.Namespace(t), w.Namespace(t)
	w.register(t, "team-a", namespace)
	w.runJobManager(t, namespace)
	user := "mallory-" + namespace
	for _, n := range []string{namespace, other} {
		w.MustKubectl(t, subresourceRole, "create", "-n", n, "-f", "-")
		w.MustKubectl(t, "", "create", "rolebinding", "subresources", "-n", n, "--role=subresources", "--user="+user)
	}
	w.MustKubectl(t, plainOf("Deployment", "web", "", "")+"---"+plainOf("StatefulSet", "web", "", "")+"---"+plainOf("Job", "web", "", "")+"---"+plainOf("Pod", "web", "", ""),
		"create", "-n", other, "-f", "-")
	w.MustKubectl(t, strings.ReplaceAll(statefulSet, "replicas: 1", "replicas: 0"), "create", "-n", namespace, "-f", "-")
	api := w.as(t, user)
	pod := w.list(t, "Pod", namespace)[0].GetName()
	patch := func(kind, namespace, name, subresource, labels string) {
		t.Helper()
		resource := w.api.Resource(resources[kind]).Namespace(namespace)
		before, err := resource.Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		_, refusal := api.Resource(resources[kind]).Namespace(namespace).Patch(t.Context(), name, types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"labels":{%s}}}`, labels), metav1.PatchOptions{}, subresource)
		after, err := resource.Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		was, is := fmt.Sprint(before.GetLabels()), fmt.Sprint(after.GetLabels())
		if was != is {
			t.Errorf("%s/%s of %s %s changes labels from %s to %s", kind, subresource, namespace, name, was, is)
		}
		if refusal != nil && !strings.Contains(refusal.Error(), "drey") && !strings.Contains(refusal.Error(), "does not allow") && !strings.Contains(refusal.Error(), "could not find") {
			t.Errorf("%s/%s is refused for another reason: %v", kind, subresource, refusal)
		}
	}
	const states = `"system":"ververica-platform","vvpNamespace":"team-b","deploymentId":"x"`
	for _, subresource := range []string{"status", "ephemeralcontainers", "resize"} {
		patch("Pod", namespace, pod, subresource, `"deploymentId":"x"`)
		patch("Pod", namespace, pod, subresource, `"system":null`)
		patch("Pod", other, "web", subresource, states)
		patch("Pod", other, "web", subresource, `"type":"flink-native-kubernetes"`)
	}
	for _, kind := range []string{"Deployment", "StatefulSet", "Job"} {
		for _, subresource := range []string{"status", "scale"} {
			if kind != "Job" || subresource != "scale" {
				patch(kind, other, "web", subresource, states)
			}
		}
	}

	for _, n := range []string{namespace, other} {
		for _, subresource := range []string{"status", "finalize"} {
			for _, mark := range []string{`"draining"`, `null`, `"true"`} {
				text := w.MustKubectl(t, "", "get", "namespace", n, "-o", `jsonpath={.metadata.labels.drey\.dev/registered}`)
				var err error
				if subresource == "status" {
					_, err = w.as(t, "chief").Resource(resources["Namespace"]).Patch(t.Context(), n, types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"labels":{"drey.dev/registered":%s}}}`, mark), metav1.PatchOptions{}, subresource)
				} else {
					err = w.finalize(t, n, mark)
				}
				if after := w.MustKubectl(t, "", "get", "namespace", n, "-o", `jsonpath={.metadata.labels.drey\.dev/registered}`); after != text {
					t.Errorf("namespaces/%s of %s: the mark was %q and is %q: %v", subresource, n, text, after, err)
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
			t.Errorf("a Binding with the labels %v: %v", labels, err)
		}
		bindings := resources["Pod"]
		bindings.Resource = "bindings"
		if _, err := api.Resource(bindings).Namespace(other).Create(t.Context(), binding, metav1.CreateOptions{}); err == nil || !strings.Contains(err.Error(), "drey") {
			t.Errorf("a Binding by itself with the labels %v: %v", labels, err)
		}
	}
	if got := w.MustKubectl(t, "", "get", "pod", "web", "-n", other, "-o", "jsonpath={.metadata.labels}"); strings.Contains(got, "team-b") || strings.Contains(got, "native") {
		t.Errorf("a Binding has given a pod the labels %s", got)
	}
	binding := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Binding", "metadata": map[string]any{"name": "web", "labels": map[string]any{"topology.kubernetes.io/zone": "a"}}, "target": map[string]any{"kind": "Node", "name": "nowhere"},
	}}
	if _, err := api.Resource(resources["Pod"]).Namespace(other).Create(t.Context(), binding, metav1.CreateOptions{}, "binding"); err != nil {
		t.Errorf("a Binding as the scheduler makes it: %v", err)
	}
}

// finalize writes a mark, or null, by the subresource finalize of a namespace.
func (w *world) finalize(t testing.TB, namespace, mark string) error {
	t.Helper()
	n, err := w.api.Resource(resources["Namespace"]).Get(t.Context(), namespace, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	labels := n.GetLabels()
	delete(labels, "drey.dev/registered")
	if mark != "null" {
		var value string
		if err := json.Unmarshal([]byte(mark), &value); err != nil {
			t.Fatal(err)
		}
		labels["drey.dev/registered"] = value
	}
	n.SetLabels(labels)
	_, err = w.as(t, "chief").Resource(resources["Namespace"]).Update(t.Context(), n, metav1.UpdateOptions{}, "finalize")
	return err
}
