package peers

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/eventually"
	"drey.dev/drey/test/framework/fixtures/crds"
)

var enabled = flag.Bool("peers", false, "build and run Kyverno and Gatekeeper; the first build takes minutes")

// The subtests are the rows of docs/explanation/comparison.md.
const (
	rowCustomResources = "deny FlinkDeployments in a namespace"
	rowPods            = "deny Flink's Deployments and pods of any flavor"
	rowNamespaces      = "allowed namespaces come from"
	rowConstants       = "label pods with constants"
	rowRootOwner       = "label pods with the id and name of the root owner"
	rowJobID           = "job id from the status of the custom resource"
	rowMissed          = "pods that admission missed"
	rowKeep            = "keep labels"
	rowTaskManager     = "never deny a TaskManager of a running job"
	rowDown            = "without the controller"
)

// world is a control plane with Flink's custom resources and two namespaces: open has the label that
// the policies require, closed does not. open has the FlinkDeployment orders, with its Deployment.
type world struct {
	*testing.T
	cluster    *cluster.Cluster
	api        dynamic.Interface
	root, jobs types.UID // of the FlinkDeployment and of the Deployment
}

func newWorld(t *testing.T) *world {
	t.Helper()
	if !*enabled {
		t.Skip("use make test-peers, which builds Kyverno and Gatekeeper")
	}
	w := &world{T: t, cluster: cluster.StartWith(t, cluster.Options{KeepNamespaces: true})}
	config := w.cluster.Config()
	config.QPS, config.Burst, config.WarningHandler = -1, -1, rest.NoWarnings{}
	var err error
	if w.api, err = dynamic.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	if err := crds.Install(t.Context(), w.cluster); err != nil {
		t.Fatal(err)
	}
	w.cluster.MustKubectl(t, "", "create", "namespace", "open")
	w.cluster.MustKubectl(t, "", "create", "namespace", "closed")
	w.setOpen(true)
	for _, namespace := range []string{"open", "closed"} {
		w.cluster.MustKubectl(t, "", "wait", "--for=create", "serviceaccount/default", "-n", namespace)
	}
	root := w.create("open", flinkDeployment(), false)
	w.root = root.GetUID()
	if _, err := w.api.Resource(flinkDeployments).Namespace("open").Patch(t.Context(), "orders", types.MergePatchType, []byte(`{"status":{"jobStatus":{"jobId":"0123456789abcdef0123456789abcdef"}}}`), metav1.PatchOptions{}, "status"); err != nil {
		t.Fatal(err)
	}
	owned := jobManagers("orders")
	owned.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "flink.apache.org/v1beta1", Kind: "FlinkDeployment", Name: "orders", UID: w.root}})
	w.jobs = w.create("open", owned, false).GetUID()
	return w
}

// setOpen sets or removes the label of the namespace open.
func (w *world) setOpen(open bool) {
	label := "flink-"
	if open {
		label = "flink=allowed"
	}
	w.cluster.MustKubectl(w.T, "", "label", "namespace", "open", label)
}

var (
	flinkDeployments = schema.GroupVersionResource{Group: "flink.apache.org", Version: "v1beta1", Resource: "flinkdeployments"}
	resources        = map[string]schema.GroupVersionResource{
		"FlinkDeployment": flinkDeployments,
		"Deployment":      {Group: "apps", Version: "v1", Resource: "deployments"},
		"Pod":             {Version: "v1", Resource: "pods"},
		"ConfigMap":       {Version: "v1", Resource: "configmaps"},
	}
)

// create creates an object, and fails the test after an error.
func (w *world) create(namespace string, o *unstructured.Unstructured, dryRun bool) *unstructured.Unstructured {
	w.Helper()
	created, err := w.try(namespace, o, dryRun)
	if err != nil {
		w.Fatal(err)
	}
	return created
}

func (w *world) try(namespace string, o *unstructured.Unstructured, dryRun bool) (*unstructured.Unstructured, error) {
	options := metav1.CreateOptions{}
	if dryRun {
		options.DryRun = []string{metav1.DryRunAll}
	}
	return w.api.Resource(resources[o.GetKind()]).Namespace(namespace).Create(w.Context(), o, options)
}

// admitted waits until the dry run of a creation succeeds.
func (w *world) admitted(t *testing.T, namespace string, o *unstructured.Unstructured) {
	t.Helper()
	eventually.OK(t, func() error {
		_, err := w.try(namespace, o, true)
		return err
	})
}

// denied waits until the dry run of a creation fails with a text.
func (w *world) denied(t *testing.T, namespace string, o *unstructured.Unstructured, text string) {
	t.Helper()
	eventually.OK(t, func() error {
		switch _, err := w.try(namespace, o, true); {
		case err == nil:
			return fmt.Errorf("%s in %s: got admitted, want denied", o.GetKind(), namespace)
		case !strings.Contains(err.Error(), text):
			return fmt.Errorf("%s in %s: got %w, want %q", o.GetKind(), namespace, err, text)
		}
		return nil
	})
}

// labeled waits until a pod gets labels, of those that the policies add.
func (w *world) labeled(t *testing.T, o *unstructured.Unstructured, want map[string]string) {
	t.Helper()
	eventually.OK(t, func() error {
		created, err := w.try("open", o, true)
		if err != nil {
			return err
		}
		got := created.GetLabels()
		for _, key := range []string{"app", "component", "type", "pod-template-hash"} {
			delete(got, key)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			return errors.New("labels (-want +got):\n" + diff)
		}
		return nil
	})
}

const denial = "namespace closed is not open to Flink: kubectl label namespace closed flink=allowed"

// denials tests the rows that both peers satisfy by the same policy.
func (w *world) denials(t *testing.T) {
	t.Run(rowCustomResources, func(t *testing.T) {
		w.denied(t, "closed", flinkDeployment(), denial)
	})
	t.Run(rowPods, func(t *testing.T) {
		w.denied(t, "closed", jobManager(), denial)
		w.denied(t, "closed", jobManagers("orders"), denial)
		w.admitted(t, "closed", nginx())
		w.admitted(t, "open", jobManager())
		// Neither the label nor the image that the patterns name.
		own := jobManager()
		own.SetLabels(map[string]string{"app": "orders"})
		containers, _, _ := unstructured.NestedSlice(own.Object, "spec", "containers")
		containers[0].(map[string]any)["image"] = "example.com/team/job:1"
		own.Object["spec"].(map[string]any)["containers"] = containers
		w.admitted(t, "closed", own)
	})
}

// TestKyverno checks the rows of Kyverno.
func TestKyverno(t *testing.T) {
	w := newWorld(t)
	p, err := StartKyverno(t.Context(), w.cluster, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			w.logEnd(p)
		}
		if err := p.Kill(); err != nil {
			t.Error(err)
		}
	})
	w.apply("kyverno")
	w.denials(t)
	constants := map[string]string{"system": "ververica-platform", "vvpNamespace": "default"}
	owner := map[string]string{"system": "ververica-platform", "vvpNamespace": "default", "deploymentId": string(w.root), "deploymentName": "orders"}
	t.Run(rowRootOwner, func(t *testing.T) {
		w.labeled(t, jobManager(), owner)
		const calls = 20
		before := w.reads()
		for range calls {
			w.create("open", jobManager(), true)
		}
		if got := w.reads() - before; got != calls {
			t.Errorf("got %d reads of Deployments, want one a request: %d", got, calls)
		}
	})
	t.Run(rowKeep, func(t *testing.T) {
		pod := jobManager()
		pod.SetLabels(map[string]string{"app": "orders", "type": "flink-native-kubernetes", "system": "other"})
		w.labeled(t, pod, map[string]string{"system": "other", "vvpNamespace": "default", "deploymentId": string(w.root), "deploymentName": "orders"})
	})
	t.Run(rowJobID, func(t *testing.T) {
		w.apply("kyverno-job-id")
		w.labeled(t, w.taskManager(), map[string]string{"system": "ververica-platform", "vvpNamespace": "default", "deploymentId": string(w.root), "deploymentName": "orders", "jobId": "0123456789abcdef0123456789abcdef"})
		w.remove("kyverno-job-id")
	})
	t.Run(rowTaskManager, func(t *testing.T) {
		w.setOpen(false)
		defer w.setOpen(true)
		forged := jobManager()
		forged.SetLabels(map[string]string{"app": "orders", "component": "taskmanager", "type": "flink-native-kubernetes"})
		w.denied(t, "open", w.taskManager(), "is not open to Flink")
		w.apply("kyverno-exception")
		w.admitted(t, "open", w.taskManager())
		w.denied(t, "open", jobManager(), "is not open to Flink")
		w.admitted(t, "open", forged) // any pod can state the label
		w.apply("kyverno")
	})
	t.Run(rowNamespaces, func(t *testing.T) {
		w.apply("kyverno-configmap")
		w.denied(t, "closed", jobManager(), "ConfigMap flink-namespaces does not list closed")
		w.setOpen(false) // the label does not matter
		w.admitted(t, "open", jobManager())
		w.setOpen(true)
		w.apply("kyverno")
		w.denied(t, "closed", jobManager(), denial)
	})
	t.Run(rowConstants, func(t *testing.T) {
		w.apply("kyverno-constants")
		w.labeled(t, jobManager(), constants)
		w.remove("kyverno-constants")
	})
	t.Run("in CEL", func(t *testing.T) {
		w.cluster.MustKubectl(w.T, "", "delete", "clusterpolicy", "flink-namespaces")
		w.apply("kyverno-cel")
		w.labeled(t, jobManager(), owner)
		w.denied(t, "closed", jobManager(), "this namespace is not open to Flink")
		w.admitted(t, "closed", nginx())
		w.remove("kyverno-cel")
		w.apply("kyverno")
		w.denied(t, "closed", jobManager(), denial)
	})
	t.Run(rowDown, func(t *testing.T) {
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
		w.denied(t, "open", jobManager(), "failed calling webhook")
		w.denied(t, "open", nginx(), "failed calling webhook")
		w.admitted(t, "open", configMap())

		// The API server evaluates the conditions of a ValidatingPolicy.
		if p, err = StartKyverno(t.Context(), w.cluster, os.Stderr); err != nil {
			t.Fatal(err)
		}
		w.remove("kyverno")
		w.apply("kyverno-cel")
		w.denied(t, "closed", jobManager(), "this namespace is not open to Flink")
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
		w.denied(t, "open", jobManager(), "failed calling webhook")
		w.admitted(t, "open", nginx())
	})
}

// TestGatekeeper checks the rows of Gatekeeper.
func TestGatekeeper(t *testing.T) {
	w := newWorld(t)
	missed := w.create("closed", jobManager(), false) // before Gatekeeper is in effect
	g, err := StartGatekeeper(t.Context(), w.cluster, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			w.logEnd(g.Webhook)
			w.logEnd(g.Audit)
		}
		if err := g.Kill(); err != nil {
			t.Error(err)
		}
	})
	for _, o := range g.Configurations {
		text, err := o.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		w.cluster.MustKubectl(t, string(text), "apply", "--server-side", "-f", "-")
	}
	w.apply("gatekeeper-template")
	w.apply("gatekeeper")
	w.denials(t)
	t.Run(rowConstants, func(t *testing.T) {
		w.labeled(t, jobManager(), map[string]string{"system": "ververica-platform", "vvpNamespace": "default"})
	})
	t.Run(rowKeep, func(t *testing.T) {
		pod := jobManager()
		pod.SetLabels(map[string]string{"app": "orders", "type": "flink-native-kubernetes", "system": "other"})
		w.labeled(t, pod, map[string]string{"system": "other", "vvpNamespace": "default"})
	})
	t.Run(rowRootOwner, func(t *testing.T) {
		for data, want := range map[string]string{
			"{externalData: {provider: owners, dataSource: ValueAtLocation}}": "only username data source is supported",
			"{fromMetadata: {field: ownerReferences}}":                        "ownerReferences",
		} {
			out, err := w.cluster.RunKubectl(t, assignMetadata+data+"}\n", "apply", "-f", "-")
			if err == nil || !strings.Contains(out, want) {
				t.Errorf("%s: got %q, want a rejection with %q", data, out, want)
			}
		}
		out, err := w.cluster.RunKubectl(t, assignOfMetadata, "apply", "-f", "-")
		if err == nil || !strings.Contains(out, "metadata") {
			t.Errorf("Assign of a label: got %q, want a rejection", out)
		}
	})
	t.Run(rowTaskManager, func(t *testing.T) {
		w.setOpen(false)
		defer w.setOpen(true)
		forged := jobManager()
		forged.SetLabels(map[string]string{"app": "orders", "component": "taskmanager", "type": "flink-native-kubernetes"})
		w.denied(t, "open", w.taskManager(), "is not open to Flink")
		w.cluster.MustKubectl(t, "", "patch", "flinknamespaces", "flink-namespaces", "--type=merge", "-p", `{"spec":{"match":{"labelSelector":{"matchExpressions":[{"key":"component","operator":"NotIn","values":["taskmanager"]}]}}}}`)
		w.admitted(t, "open", w.taskManager())
		w.denied(t, "open", jobManager(), "is not open to Flink")
		w.admitted(t, "open", forged) // any pod can state the label
		w.cluster.MustKubectl(t, "", "patch", "flinknamespaces", "flink-namespaces", "--type=merge", "-p", `{"spec":{"match":{"labelSelector":null}}}`)
		w.denied(t, "closed", w.taskManager(), denial)
	})
	t.Run(rowMissed, func(t *testing.T) {
		eventually.OK(t, func() error { // the audit runs once a minute
			out, err := w.cluster.RunKubectl(t, "", "get", "flinknamespaces", "flink-namespaces", "-o", "jsonpath={.status.violations[*].name}")
			if err == nil && !strings.Contains(out, missed.GetName()) {
				err = fmt.Errorf("got the violations %q, want %s", out, missed.GetName())
			}
			return err
		})
		found, err := w.api.Resource(resources["Pod"]).Namespace("closed").Get(t.Context(), missed.GetName(), metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(missed.GetLabels(), found.GetLabels()); diff != "" {
			t.Errorf("labels of the pod (-before +after the audit):\n%s", diff)
		}
	})
	t.Run(rowDown, func(t *testing.T) {
		if err := g.Webhook.Kill(); err != nil {
			t.Fatal(err)
		}
		w.admitted(t, "closed", jobManager()) // failurePolicy: Ignore, as in the manifest
		w.cluster.MustKubectl(t, "", "patch", "validatingwebhookconfiguration", "gatekeeper-validating-webhook-configuration", "--type=json", "-p", `[{"op":"replace","path":"/webhooks/0/failurePolicy","value":"Fail"}]`)
		w.denied(t, "open", jobManager(), "failed calling webhook")
		w.denied(t, "open", nginx(), "failed calling webhook")
		w.denied(t, "open", configMap(), "failed calling webhook")
	})
}

const (
	assignMetadata = `
apiVersion: mutations.gatekeeper.sh/v1
kind: AssignMetadata
metadata: {name: owner}
spec:
  match: {scope: Namespaced, kinds: [{apiGroups: [""], kinds: [Pod]}]}
  location: metadata.labels.deploymentId
  parameters: {assign: `
	assignOfMetadata = `
apiVersion: mutations.gatekeeper.sh/v1
kind: Assign
metadata: {name: owner}
spec:
  applyTo: [{groups: [""], versions: [v1], kinds: [Pod]}]
  match: {scope: Namespaced, kinds: [{apiGroups: [""], kinds: [Pod]}]}
  location: metadata.labels.deploymentId
  parameters: {assign: {value: any}}
`
)

// apply applies a file of policies.
func (w *world) apply(name string) {
	w.Helper()
	if err := Apply(w.Context(), w.cluster, name); err != nil {
		w.Fatal(err)
	}
}

// remove deletes the objects of a file of policies.
func (w *world) remove(name string) {
	w.Helper()
	text, err := policies.ReadFile("policies/" + name + ".yaml")
	if err != nil {
		w.Fatal(err)
	}
	w.cluster.MustKubectl(w.T, string(text), "delete", "--ignore-not-found", "-f", "-")
}

// reads returns the number of Deployments that clients have read by name, from the metrics of the API
// server.
func (w *world) reads() int {
	w.Helper()
	metrics := w.cluster.MustKubectl(w.T, "", "get", "--raw", "/metrics")
	total := 0
	for line := range strings.Lines(metrics) {
		if strings.HasPrefix(line, "apiserver_request_total{") && strings.Contains(line, `resource="deployments"`) && strings.Contains(line, `verb="GET"`) {
			n, err := strconv.Atoi(regexp.MustCompile(`} (\d+)`).FindStringSubmatch(line)[1])
			if err != nil {
				w.Fatal(err)
			}
			total += n
		}
	}
	return total
}

func (w *world) logEnd(p *Process) {
	lines := strings.Split(p.Log(), "\n")
	const tail, width = 30, 300
	for i, line := range lines {
		lines[i] = line[:min(len(line), width)]
	}
	w.Logf("end of the log of %s:\n%s", p.name, strings.Join(lines[max(0, len(lines)-tail):], "\n"))
}

func object(apiVersion, kind string, fields map[string]any) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: fields}
	o.SetAPIVersion(apiVersion)
	o.SetKind(kind)
	return o
}

func flinkDeployment() *unstructured.Unstructured {
	return object("flink.apache.org/v1beta1", "FlinkDeployment", map[string]any{"metadata": map[string]any{"name": "orders"}, "spec": map[string]any{"image": "flink:2.2", "job": map[string]any{"jarURI": "local:///job.jar"}}})
}

// spec returns the spec of a pod with one container.
func spec(image string, args ...any) map[string]any {
	return map[string]any{"containers": []any{map[string]any{"name": "flink-main-container", "image": image, "args": args}}}
}

func labels(component string) map[string]any {
	return map[string]any{"app": "orders", "component": component, "type": "flink-native-kubernetes"}
}

// jobManagers returns the Deployment of a cluster of native mode, without replicas.
func jobManagers(name string) *unstructured.Unstructured {
	return object("apps/v1", "Deployment", map[string]any{
		"metadata": map[string]any{"name": name, "labels": labels("jobmanager")},
		"spec": map[string]any{
			"replicas": int64(0), "selector": map[string]any{"matchLabels": labels("jobmanager")},
			"template": map[string]any{"metadata": map[string]any{"labels": labels("jobmanager")}, "spec": spec("flink:2.2", "bash", "-c", "kubernetes-jobmanager.sh kubernetes-application")},
		},
	})
}

func jobManager() *unstructured.Unstructured {
	return object("v1", "Pod", map[string]any{"metadata": map[string]any{"generateName": "orders-6d4b9c-", "labels": labels("jobmanager")}, "spec": spec("flink:2.2", "bash", "-c", "kubernetes-jobmanager.sh kubernetes-application")})
}

// taskManager returns a pod that the JobManager creates, which the Deployment owns.
func (w *world) taskManager() *unstructured.Unstructured {
	o := object("v1", "Pod", map[string]any{"metadata": map[string]any{"name": "orders-taskmanager-1-1", "labels": labels("taskmanager")}, "spec": spec("flink:2.2", "bash", "-c", "kubernetes-taskmanager.sh")})
	o.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "Deployment", Name: "orders", UID: w.jobs}})
	return o
}

func nginx() *unstructured.Unstructured {
	return object("v1", "Pod", map[string]any{"metadata": map[string]any{"generateName": "web-", "labels": map[string]any{"app": "web"}}, "spec": spec("nginx:1.29")})
}

func configMap() *unstructured.Unstructured {
	return object("v1", "ConfigMap", map[string]any{"metadata": map[string]any{"name": "settings"}})
}
