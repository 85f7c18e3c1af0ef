package e2e

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"drey.dev/drey/test/framework/eventually"
	"drey.dev/drey/webhook"
)

var (
	adminSeed  = flag.Uint64("admin-seed", 1, "seed of TestRandomAdmin")
	adminSteps = flag.Int("admin-steps", 60, "number of requests of TestRandomAdmin per phase")
)

// randomAdmin is a user with all rights on the objects of its namespaces, subresources included.
type randomAdmin struct {
	*world
	*rand.Rand
	api          dynamic.Interface
	registered   string // namespace with a target
	unregistered string
	victim       string // uid of a workload in another namespace
	victimName   string
	results      map[string]int // number of requests by result
}

// adminRole grants all verbs on workloads.
const adminRole = `
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: everything}
rules: [{apiGroups: ["", apps, batch], resources: ["*"], verbs: ["*"]}]
`

// TestRandomAdmin sends random requests of a namespace administrator: no Flink pod is created in
// a namespace without a target, and no object gets the id of another. While drey is down the
// policies do not verify ids, so that pods of running jobs are allowed. Objects created with a
// foreign id then are reported after the restart.
func TestRandomAdmin(t *testing.T) {
	t.Parallel()
	w := ownWorld(t)
	a := &randomAdmin{world: w, Rand: rand.New(rand.NewPCG(*adminSeed, 2)), registered: w.Namespace(t), unregistered: w.Namespace(t), results: map[string]int{}}
	other := w.Namespace(t)
	w.register(t, "team-a", a.registered)
	w.register(t, "team-b", other)
	w.runJobManager(t, other)
	a.victimName = "my-job"
	a.victim = w.MustKubectl(t, "", "get", "deployment", a.victimName, "-n", other, "-o", "jsonpath={.metadata.uid}")
	for _, n := range []string{a.registered, a.unregistered} {
		w.MustKubectl(t, adminRole, "create", "-n", n, "-f", "-")
		w.MustKubectl(t, "", "create", "rolebinding", "everything", "-n", n, "--role=everything", "--user=mallory")
	}
	a.api = w.impersonate(t, "mallory")

	a.phase(t, "up", true)
	w.killDrey(t)
	a.phase(t, "down", false)
	a.createForeignID(t)
	w.restartDrey(t)
	conflicts := a.awaitReports(t, "down")
	w.killDrey(t)
	restarted := make(chan error, 1)
	go func() { // during the requests of the next phase
		restarted <- w.startDrey(context.WithoutCancel(t.Context()))
	}()
	a.phase(t, "restarting", false)
	if err := <-restarted; err != nil {
		t.Fatal(err)
	}
	conflicts += a.awaitReports(t, "restarting")
	a.clear(t)
	a.phase(t, "up again", true)
	t.Log(a.results, "conflicts reported:", conflicts)
	if conflicts == 0 {
		t.Error("no conflict was created while drey was down: the reports were not tested")
	}
	if a.results["allowed"] < *adminSteps/4 || a.results["denied by drey"] < *adminSteps/4 {
		t.Errorf("results: got %v, want at least %d allowed and denied by drey", a.results, *adminSteps/4)
	}
}

// createForeignID creates a pod with the id of another object.
func (a *randomAdmin) createForeignID(t *testing.T) {
	t.Helper()
	pod := map[string]any{
		"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": "foreign-id", "labels": map[string]any{"deploymentId": a.victim}},
		"spec": map[string]any{"containers": []any{map[string]any{"name": "flink-main-container", "image": "flink:2.2"}}},
	}
	if _, err := a.api.Resource(resources["Pod"]).Namespace(a.registered).Create(t.Context(), &unstructured.Unstructured{Object: pod}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// awaitReports waits until each object of the registered namespace with a foreign id or
// platform namespace has an event, after the second scan at the latest, and returns the number
// of these objects.
func (a *randomAdmin) awaitReports(t *testing.T, phase string) (conflicts int) {
	t.Helper()
	eventually.OK(t, func() error {
		reported := a.conflicts(t, a.registered)
		conflicts = 0
		for _, kind := range adminKinds {
			for _, o := range a.list(t, kind, a.registered) {
				if o.GetDeletionTimestamp() != nil || !a.isConflict(t, &o) {
					continue
				}
				conflicts++
				if !reported[kind+"/"+o.GetName()] {
					return fmt.Errorf("seed %d, drey was %s: no event for %s %s with labels %v and owners %v",
						*adminSeed, phase, kind, o.GetName(), o.GetLabels(), o.GetOwnerReferences())
				}
			}
		}
		return nil
	})
	return conflicts
}

// isConflict reports whether an object of the registered namespace is Flink, or labeled as
// Flink, and has an id or a platform namespace that no object of the admin has.
func (a *randomAdmin) isConflict(t *testing.T, o *unstructured.Unstructured) bool {
	t.Helper()
	labels := o.GetLabels()
	if labels["deploymentId"] != a.victim && labels["sessionClusterId"] != a.victim && labels["vvpNamespace"] != "team-b" {
		return false
	}
	text, err := o.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	f, _, err := webhook.Recognize(o.GetAPIVersion(), o.GetKind(), o.GetNamespace(), text)
	if err != nil {
		t.Fatal(err)
	}
	return f.Recognized() || labels["system"] == "ververica-platform"
}

var adminKinds = []string{"Pod", "Deployment", "StatefulSet", "Job"}

// clear deletes the objects in the namespaces of the administrator.
func (a *randomAdmin) clear(t *testing.T) {
	t.Helper()
	for _, n := range []string{a.registered, a.unregistered} {
		for _, kind := range append([]string{"ReplicaSet"}, adminKinds...) {
			if err := a.world.api.Resource(resources[kind]).Namespace(n).DeleteCollection(t.Context(), metav1.DeleteOptions{GracePeriodSeconds: new(int64)}, metav1.ListOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		eventually.OK(t, func() error {
			for _, kind := range adminKinds {
				if left := a.list(t, kind, n); len(left) > 0 {
					return fmt.Errorf("%s %s is not deleted", kind, left[0].GetName())
				}
			}
			return nil
		})
	}
}

// phase sends requests, and checks the objects after every tenth. ids enables the check of ids.
func (a *randomAdmin) phase(t *testing.T, phase string, ids bool) {
	t.Helper()
	for step := range *adminSteps {
		request, err := a.step(t)
		switch {
		case err == nil:
			a.results["allowed"]++
		case strings.Contains(err.Error(), "drey"):
			a.results["denied by drey"]++
		default:
			a.results["failed"]++
		}
		if step%10 == 9 || step == *adminSteps-1 {
			a.check(t, fmt.Sprintf("seed %d, drey is %s, step %d: %s", *adminSeed, phase, step, request), ids)
		}
		if t.Failed() {
			t.FailNow()
		}
	}
}

// check fails the test if an object has forged labels, or a Flink pod has no target.
func (a *randomAdmin) check(t *testing.T, when string, ids bool) {
	t.Helper()
	for _, n := range []string{a.registered, a.unregistered} {
		for _, kind := range adminKinds {
			for _, o := range a.list(t, kind, n) {
				labels := o.GetLabels()
				forged := labels["deploymentId"] == a.victim || labels["sessionClusterId"] == a.victim
				if (ids || n == a.unregistered && kind != "Pod") && labels["system"] == "ververica-platform" && (forged || labels["vvpNamespace"] == "team-b") {
					t.Errorf("%s: %s %s in %s has the forged labels %v", when, kind, o.GetName(), n, labels)
				}
				if kind != "Pod" || n == a.registered {
					continue
				}
				text, err := json.Marshal(o.Object)
				if err != nil {
					t.Fatal(err)
				}
				if f, _, err := webhook.Recognize("v1", "Pod", n, text); err != nil || f.Recognized() {
					t.Errorf("%s: pod %s has the Flink signals %v, and namespace %s no target: %v\n%s", when, o.GetName(), f.Signals.Names(), n, err, text)
				}
			}
		}
	}
	if err := a.checkRegistered(t, a.unregistered, ""); err != nil {
		t.Errorf("%s: %v", when, err)
	}
}

func (a *randomAdmin) pick(all ...string) string { return all[a.IntN(len(all))] }

// step sends a request, and describes it.
func (a *randomAdmin) step(t *testing.T) (request string, err error) {
	t.Helper()
	namespace, kind, name := a.pick(a.registered, a.unregistered), a.pick(adminKinds...), a.pick("a", "b", "c", "d")
	api := a.api.Resource(resources[kind]).Namespace(namespace)
	patch := func(patchType types.PatchType, body, subresource string) error {
		var subresources []string
		if subresource != "" {
			subresources = []string{subresource}
		}
		request = fmt.Sprintf("patch %s/%s %s in %s: %s", kind, subresource, name, namespace, body)
		_, err := api.Patch(t.Context(), name, patchType, []byte(body), metav1.PatchOptions{}, subresources...)
		return err
	}
	switch a.IntN(10) {
	case 0:
		request = fmt.Sprintf("delete %s %s in %s", kind, name, namespace)
		return request, api.Delete(t.Context(), name, metav1.DeleteOptions{GracePeriodSeconds: new(int64), PropagationPolicy: new(metav1.DeletePropagationBackground)})
	case 1, 2:
		text, _ := json.Marshal(map[string]any{"metadata": map[string]any{"labels": a.labels(true)}})
		return request, patch(types.MergePatchType, string(text), a.pick("", "", "status", "scale", "resize", "ephemeralcontainers"))
	case 3:
		path := "/spec/template/spec/containers/0"
		if kind == "Pod" {
			path = "/spec/containers/0"
		}
		container, _ := json.Marshal(a.container())
		return request, patch(types.JSONPatchType, fmt.Sprintf(`[{"op":"replace","path":%q,"value":%s}]`, path, container), "")
	case 4:
		body, _ := json.Marshal(map[string]any{"metadata": map[string]any{"ownerReferences": a.owners(t, namespace), "annotations": a.annotations()}})
		return request, patch(types.MergePatchType, string(body), a.pick("", "status"))
	case 5:
		binding := map[string]any{"apiVersion": "v1", "kind": "Binding", "metadata": map[string]any{"name": name, "labels": a.labels(false)}, "target": map[string]any{"kind": "Node", "name": "nowhere"}}
		request = fmt.Sprintf("bind %s in %s: %v", name, namespace, binding)
		_, err := a.api.Resource(resources["Pod"]).Namespace(namespace).Create(t.Context(), &unstructured.Unstructured{Object: binding}, metav1.CreateOptions{}, "binding")
		return request, err
	}
	o := a.object(t, kind, namespace, name)
	request = fmt.Sprintf("create %v in %s", o, namespace)
	_, err = api.Create(t.Context(), &unstructured.Unstructured{Object: o}, metav1.CreateOptions{})
	return request, err
}

// object returns a workload with random labels, annotations, owners and container.
func (a *randomAdmin) object(t *testing.T, kind, namespace, name string) map[string]any {
	t.Helper()
	metadata := map[string]any{"name": name, "labels": a.labels(false), "annotations": a.annotations(), "ownerReferences": a.owners(t, namespace)}
	spec := map[string]any{"containers": []any{a.container()}}
	if kind == "Pod" {
		return map[string]any{"apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": spec}
	}
	labels := a.labels(false)
	labels["run"] = name
	template := map[string]any{"metadata": map[string]any{"labels": labels}, "spec": spec}
	o := map[string]any{"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": map[string]any{"selector": map[string]any{"matchLabels": map[string]any{"run": name}}, "template": template}}
	if kind == "Job" {
		spec["restartPolicy"] = "Never"
		o["apiVersion"], o["spec"] = "batch/v1", map[string]any{"template": template}
	}
	return o
}

// labels returns random labels. With remove, some are null.
func (a *randomAdmin) labels(remove bool) map[string]any {
	all := map[string]any{}
	if a.IntN(2) == 0 {
		all["system"], all["vvpNamespace"] = "ververica-platform", a.pick("team-a", "team-b")
	}
	if a.IntN(3) == 0 {
		all[a.pick("deploymentId", "sessionClusterId")] = a.victim
	}
	if a.IntN(3) == 0 {
		all["type"] = "flink-native-kubernetes"
	}
	if a.IntN(3) == 0 {
		all["component"] = a.pick("jobmanager", "taskmanager")
	}
	if a.IntN(4) == 0 {
		all["app"] = a.pick("flink-job", "flink-session-cluster", "nuts")
	}
	if a.IntN(6) == 0 {
		all["app.kubernetes.io/name"] = a.pick("flink", "flink-kubernetes-operator")
	}
	if remove && a.IntN(3) == 0 {
		all[a.pick("system", "vvpNamespace", "deploymentId", "type", "component")] = nil
	}
	return all
}

func (a *randomAdmin) annotations() map[string]any {
	if a.IntN(8) > 0 {
		return map[string]any{}
	}
	return map[string]any{a.pick("drey.dev/deployment", "drey.dev/session-cluster"): a.pick(a.victim, a.victimName)}
}

func (a *randomAdmin) container() map[string]any {
	c := map[string]any{"name": a.pick("web", "web", "main", "flink-main-container", "jobmanager"), "image": a.pick("nginx", "nginx", "flink:2.2"), "terminationMessagePath": "/dev/termination-log"}
	switch a.IntN(4) {
	case 0:
		c["args"] = []any{a.pick("kubernetes-jobmanager.sh", "kubernetes-taskmanager.sh"), "kubernetes-application"}
	case 1:
		c["args"] = []any{a.pick("jobmanager", "taskmanager", "standalone-job")}
	}
	return c
}

// owners returns no owner reference, one of an existing object, or a forged one.
func (a *randomAdmin) owners(t *testing.T, namespace string) []any {
	t.Helper()
	if a.IntN(2) == 0 {
		return []any{}
	}
	reference := map[string]any{
		"apiVersion": a.pick("apps/v1", "x.example/v1", "flink.apache.org/v1beta1", "flink.apache.org/v99"), "kind": a.pick("Deployment", "FlinkDeployment", "ReplicaSet"),
		"name": a.pick("a", "none", a.victimName), "uid": a.pick(a.victim, "11111111-2222-4333-8444-555555555555"), "controller": a.IntN(2) == 0,
	}
	kind := a.pick("Deployment", "StatefulSet", "Job")
	if existing := a.list(t, kind, namespace); len(existing) > 0 && a.IntN(3) > 0 {
		o := existing[a.IntN(len(existing))]
		reference["apiVersion"], reference["kind"], reference["name"], reference["uid"] = o.GetAPIVersion(), kind, o.GetName(), string(o.GetUID())
	}
	return []any{reference}
}
