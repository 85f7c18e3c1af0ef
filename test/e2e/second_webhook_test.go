package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"drey.dev/drey/test/framework/eventually"
)

// mutator is a mutating webhook of somebody else: a sidecar injector, and a labeler as Kyverno's
// rules are. It labels an object with the annotation example.com/add.
type mutator struct{ *httptest.Server }

func newMutator(t *testing.T) mutator {
	t.Helper()
	m := mutator{httptest.NewTLSServer(http.HandlerFunc(mutate))}
	t.Cleanup(m.Close)
	return m
}

// caBundle returns the certificate of the server, which signs itself, in PEM and base64.
func (m mutator) caBundle() string {
	return base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: m.Certificate().Raw}))
}

// mutate adds a sidecar as the first container, a label, and the labels of the annotation, over those
// that the object has. A second call changes nothing.
func mutate(w http.ResponseWriter, r *http.Request) {
	var review admissionv1.AdmissionReview
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var o unstructured.Unstructured
	if err := json.Unmarshal(review.Request.Object.Raw, &o.Object); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	labels := maps.Clone(o.GetLabels())
	if labels == nil {
		labels = map[string]string{}
	}
	labels["example.com/injected"] = "true"
	for pair := range strings.FieldsSeq(o.GetAnnotations()["example.com/add"]) {
		key, value, _ := strings.Cut(pair, "=")
		labels[key] = value
	}
	patch := []map[string]any{{"op": "add", "path": "/metadata/labels", "value": labels}}
	if o.GetKind() == "Pod" && o.GetLabels()["example.com/injected"] == "" {
		patch = append(patch, map[string]any{"op": "add", "path": "/spec/containers/0", "value": map[string]any{"name": "sidecar", "image": "example.com/proxy:1", "args": []string{"proxy", "sidecar"}}})
	}
	text, err := json.Marshal(patch)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	kind := admissionv1.PatchTypeJSONPatch
	review.Response, review.Request = &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: true, Patch: text, PatchType: &kind}, nil
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(review)
}

// install registers the mutator for namespaces with the label order=name. The API server calls webhooks
// in the order of the names of their configurations.
func (m mutator) install(t *testing.T, w *world, name string) {
	t.Helper()
	configurations := w.api.Resource(resources["MutatingWebhookConfiguration"])
	_, err := configurations.Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration", "metadata": map[string]any{"name": name},
		"webhooks": []any{map[string]any{
			"name": "mutate.example.com", "clientConfig": map[string]any{"url": m.URL, "caBundle": m.caBundle()},
			"rules": []any{
				map[string]any{"operations": []any{"CREATE"}, "apiGroups": []any{""}, "apiVersions": []any{"v1"}, "resources": []any{"pods"}},
				map[string]any{"operations": []any{"CREATE"}, "apiGroups": []any{"apps"}, "apiVersions": []any{"v1"}, "resources": []any{"deployments"}},
			},
			"namespaceSelector": map[string]any{"matchLabels": map[string]any{"order": name}}, "reinvocationPolicy": "IfNeeded",
			"sideEffects": "None", "admissionReviewVersions": []any{"v1"}, "failurePolicy": "Fail", "timeoutSeconds": int64(10),
		}},
	}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := configurations.Delete(context.Background(), name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
}

// TestSecondMutatingWebhook creates workloads beside a webhook of somebody else that runs before or after
// drey's: the labels and the verdicts are the same in either order.
func TestSecondMutatingWebhook(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	m := newMutator(t)
	type result struct {
		labels map[string]string // those of drey
		denial string
	}
	const flinkLabels = "component=jobmanager type=flink-native-kubernetes"
	cases := map[string]struct {
		manifest   string // takes a name and the annotation example.com/add
		add        string
		registered bool
		denied     string
		repaired   bool // drey labels the object after its creation
	}{
		"sidecar":                                {flinkWith, "team=nuts", true, "", false},
		"sidecar, no target":                     {flinkWith, "team=nuts", false, "has no DeploymentTarget", false},
		"app is changed":                         {flinkWith, "app=web", true, "", false},
		"another platform namespace":             {flinkWith, "vvpNamespace=team-b", true, "vvpNamespace", false},
		"the same platform namespace":            {flinkWith, "vvpNamespace=team-a", true, "", false},
		"another platform namespace, Deployment": {flinkDeploymentWith, "vvpNamespace=team-b", true, "vvpNamespace", false},
		"Deployment":                             {flinkDeploymentWith, "team=nuts", true, "", false},
		"Deployment, no target":                  {flinkDeploymentWith, "team=nuts", false, "has no DeploymentTarget", false},
		"becomes Flink by labels":                {plainWith, flinkLabels, true, "", true},
		"becomes Flink by labels, no target":     {plainWith, flinkLabels, false, "has no DeploymentTarget", false},
	}
	results := map[string][]result{}
	for _, order := range []string{"a-before-drey", "z-after-drey"} {
		m.install(t, w, order)
		registered, unregistered := w.Namespace(t), w.Namespace(t)
		for _, n := range []string{registered, unregistered} {
			w.MustKubectl(t, "", "label", "namespace", n, "order="+order)
		}
		w.register(t, "team-a", registered)
		eventually.OK(t, func() error { // the API server follows configurations by a watch
			out, err := w.RunKubectl(t, "", "run", "x", "--image=nginx", "--dry-run=server", "-n", registered, "-o", "jsonpath={.metadata.labels}")
			if err == nil && !strings.Contains(out, "injected") {
				err = fmt.Errorf("got the labels %s, want injected", out)
			}
			return err
		})
		i := 0
		for rule, c := range cases {
			i++
			namespace := unregistered
			if c.registered {
				namespace = registered
			}
			name := fmt.Sprintf("w-%d", i)
			kind := "pod"
			if c.manifest == flinkDeploymentWith {
				kind = "deployment"
			}
			out, err := w.RunKubectl(t, fmt.Sprintf(c.manifest, name, c.add), "create", "-n", namespace, "-f", "-")
			if (err != nil) != (c.denied != "") || !strings.Contains(out, c.denied) {
				t.Errorf("%s, %s: got %v: %s, want a denial with %q", order, rule, err, out, c.denied)
			}
			var r result
			if err != nil {
				r.denial = c.denied
			} else {
				read := func() error {
					var o unstructured.Unstructured
					if err := json.Unmarshal([]byte(w.MustKubectl(t, "", "get", kind, name, "-n", namespace, "-o", "json")), &o.Object); err != nil {
						return err
					}
					r.labels = o.GetLabels()
					for _, id := range []string{"deploymentId", "deploymentName"} { // of the pod itself, by its name or uid
						if r.labels[id] != "" {
							r.labels[id] = "set"
						}
					}
					if r.labels["system"] != "ververica-platform" || r.labels["vvpNamespace"] != "team-a" || r.labels["example.com/injected"] != "true" {
						return fmt.Errorf("%s, %s: got the labels %v, want those of both webhooks", order, rule, r.labels)
					}
					return nil
				}
				if c.repaired {
					eventually.OK(t, read)
				} else if err := read(); err != nil {
					t.Error(err)
				}
			}
			results[rule] = append(results[rule], r)
		}
	}
	for rule, r := range results {
		if !maps.Equal(r[0].labels, r[1].labels) || r[0].denial != r[1].denial {
			t.Errorf("%s: got %+v before drey and %+v after it, want the same", rule, r[0], r[1])
		}
	}
}

// Manifests that take a name and the annotation example.com/add.
const (
	flinkWith = `
apiVersion: v1
kind: Pod
metadata: {name: %s, labels: {app: orders, component: jobmanager, type: flink-native-kubernetes}, annotations: {example.com/add: %q}}
spec: {containers: [{name: flink-main-container, image: "flink:2.2"}]}
`
	plainWith = `
apiVersion: v1
kind: Pod
metadata: {name: %s, labels: {app: orders}, annotations: {example.com/add: %q}}
spec: {containers: [{name: main, image: "example.com/orders:1"}]}
`
	flinkDeploymentWith = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: %s, annotations: {example.com/add: %q}}
spec:
  replicas: 0
  selector: {matchLabels: {component: jobmanager}}
  template: {metadata: {labels: {component: jobmanager}}, spec: {containers: [{name: jobmanager, image: "flink:2.2", args: [standalone-job]}]}}
`
)
