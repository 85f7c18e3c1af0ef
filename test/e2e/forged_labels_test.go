package e2e

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"drey.dev/drey/test/framework/eventually"
)

// editor is a user with the ClusterRole edit in some namespaces.
type editor struct {
	*world
	name string
}

func (w *world) editor(t testing.TB, namespaces ...string) editor {
	t.Helper()
	e := editor{w, "mallory-" + namespaces[0]}
	for _, n := range namespaces {
		w.MustKubectl(t, "", "create", "rolebinding", "mallory", "-n", n, "--clusterrole=edit", "--user="+e.name)
	}
	return e
}

func (e editor) kubectl(t testing.TB, namespace, manifest string, args ...string) (string, error) {
	t.Helper()
	return e.RunKubectl(t, manifest, append([]string{"--as=" + e.name, "-n", namespace}, args...)...)
}

// allowed fails the test unless kubectl succeeds.
func (e editor) allowed(t testing.TB, namespace, manifest string, args ...string) string {
	t.Helper()
	out, err := e.kubectl(t, namespace, manifest, args...)
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s\n%s", strings.Join(args, " "), err, out, manifest)
	}
	return out
}

// denied fails the test unless a webhook or policy of drey denies a kubectl command.
func (e editor) denied(t testing.TB, rule, namespace string, args ...string) {
	t.Helper()
	out, err := e.kubectl(t, namespace, "", args...)
	checkDenied(t, rule, out, err)
}

// deniedCreate fails the test unless a webhook or policy of drey denies the creation of an object. It
// sends the request of kubectl create without kubectl, which takes a tenth of a second of CPU time.
func (e editor) deniedCreate(t testing.TB, rule, namespace, manifest string, dryRun ...string) {
	t.Helper()
	objects := readManifest(t, []byte(manifest))
	if len(objects) != 1 {
		t.Fatalf("%s: %d objects in a manifest, want 1:\n%s", rule, len(objects), manifest)
	}
	o := objects[0]
	_, err := e.impersonate(t, e.name).Resource(resources[o.GetKind()]).Namespace(namespace).
		Create(t.Context(), o, metav1.CreateOptions{DryRun: dryRun, FieldValidation: metav1.FieldValidationStrict})
	checkDenied(t, rule, fmt.Sprint(err), err)
}

func checkDenied(t testing.TB, rule, out string, err error) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: allowed: %s", rule, out)
		return
	}
	for _, words := range []string{"no DeploymentTarget", "belongs to another object", "failed calling webhook"} {
		if strings.Contains(out, words) {
			return
		}
	}
	t.Errorf("%s: got %s, want a denial by drey", rule, out)
}

// Templates of manifests. Words in capitals are placeholders.
const (
	admittedLabels = `system: ververica-platform, vvpNamespace: PLATFORM`

	nginxManifest = `
apiVersion: VERSION
kind: KIND
metadata: {name: NAME, labels: {LABELS}, ownerReferences: [OWNERS]}
spec: {SPEC}
`
	nginxTemplate = `template: {metadata: {labels: {run: NAME}}, spec: {restartPolicy: RESTART, containers: [{name: web, image: nginx}]}}`

	taskManagerManifest = `
apiVersion: v1
kind: Pod
metadata: {name: NAME, labels: {app: nuts, component: taskmanager, type: flink-native-kubernetes LABELS}, ownerReferences: [OWNERS]}
spec: {containers: [{name: flink-main-container, image: "flink:2.2", args: [kubernetes-jobmanager.sh, kubernetes-application]}]}
`

	// missingOwner refers to a custom resource that does not exist, in a version that drey does
	// not know.
	missingOwner = `{apiVersion: flink.apache.org/v99, kind: FlinkDeployment, name: nuts, uid: 11111111-2222-4333-8444-555555555555}`

	// flinkPatch turns the pod template of nginx into that of a JobManager.
	flinkPatch = `[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"flink:2.2"},` +
		`{"op":"add","path":"/spec/template/spec/containers/0/args","value":["kubernetes-jobmanager.sh","kubernetes-application"]}]`
)

// nginxWorkload returns the manifest of a workload without Flink.
func nginxWorkload(kind, name, labels, owners string) string {
	version, restart, spec := "apps/v1", "Always", "selector: {matchLabels: {run: NAME}}, "+nginxTemplate
	switch kind {
	case "Job":
		version, restart, spec = "batch/v1", "Never", nginxTemplate
	case "CronJob":
		version, restart, spec = "batch/v1", "Never", `schedule: "0 0 1 1 *", jobTemplate: {spec: {`+nginxTemplate+`}}`
	case "Pod":
		version, spec = "v1", "containers: [{name: web, image: nginx}]"
	case "StatefulSet":
		spec = "serviceName: NAME, replicas: 0, " + spec
	case "Deployment":
		spec = "replicas: 0, " + spec
	}
	return strings.NewReplacer("VERSION", version, "KIND", kind, "NAME", name, "LABELS", labels, "OWNERS", owners, "RESTART", restart).
		Replace(strings.NewReplacer("SPEC", spec).Replace(nginxManifest))
}

// taskManagerPod returns the manifest of a TaskManager with an owner reference.
func taskManagerPod(name, labels, owner string) string {
	return strings.NewReplacer("NAME", name, "LABELS", labels, "OWNERS", owner).Replace(taskManagerManifest)
}

// deploymentReference returns an owner reference to a Deployment, in YAML.
func (w *world) deploymentReference(t testing.TB, namespace, name string) string {
	t.Helper()
	uid := w.MustKubectl(t, "", "get", "deployment", name, "-n", namespace, "-o", "jsonpath={.metadata.uid}")
	return fmt.Sprintf("{apiVersion: apps/v1, kind: Deployment, name: %s, uid: %s, controller: true}", name, uid)
}

// forgeLabels has an editor write labels and owner references of admitted workloads in a
// namespace that was never registered: each request is denied. The namespace has a Deployment
// and a Pod web of nginx.
func (e editor) forgeLabels(t *testing.T, namespace string) {
	t.Helper()
	labels := strings.ReplaceAll(admittedLabels, "PLATFORM", "team-b")
	for _, kind := range []string{"Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "Pod"} {
		e.deniedCreate(t, "create a "+kind+" with the labels", namespace, nginxWorkload(kind, "states", labels, ""))
		e.deniedCreate(t, "create a "+kind+" with the labels and a missing owner", namespace, nginxWorkload(kind, "owned", labels, missingOwner))
	}
	e.denied(t, "add the labels to a Deployment", namespace, "label", "deployment", "web", "system=ververica-platform", "vvpNamespace=team-b")
	e.denied(t, "change a Deployment to Flink", namespace, "patch", "deployment", "web", "--type=json", "-p", flinkPatch)
	e.denied(t, "change a pod to Flink by its labels", namespace, "label", "pod", "web", "type=flink-native-kubernetes")
	owner := e.deploymentReference(t, namespace, "web")
	e.deniedCreate(t, "create a TaskManager owned by a Deployment of nginx", namespace, taskManagerPod("of-web", "", owner))
	e.deniedCreate(t, "create a TaskManager owned by a missing Deployment", namespace, taskManagerPod("of-none", "", strings.Replace(owner, "name: web", "name: none", 1)))
	e.deniedCreate(t, "create a TaskManager owned by a Deployment of another API group", namespace, taskManagerPod("of-other", "", strings.Replace(owner, "apps/v1", "x.example/v1", 1)))
	e.deniedCreate(t, "create a TaskManager owned by a missing custom resource", namespace, taskManagerPod("of-custom", "", missingOwner))
	e.deniedCreate(t, "create a Deployment owned by a missing custom resource", namespace, strings.NewReplacer("nginx", "flink:2.2}, {name: flink-main-container, image: flink:2.2").
		Replace(nginxWorkload("Deployment", "of-custom", "", missingOwner)))
}

// TestForgedLabels has an editor of an unregistered namespace forge the labels of admitted
// workloads: Flink stays denied, and all other changes are allowed.
func TestForgedLabels(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	namespace := w.Namespace(t)
	e := w.editor(t, namespace)
	e.allowed(t, namespace, nginxWorkload("Deployment", "web", "", "")+"---"+nginxWorkload("Pod", "web", "", ""), "create", "-f", "-")
	e.forgeLabels(t, namespace)
	if err := w.checkRegistered(t, namespace, ""); err != nil {
		t.Error(err)
	}
	e.allowed(t, namespace, "", "set", "image", "deployment/web", "web=nginx:2")
	e.allowed(t, namespace, "", "label", "deployment", "web", "system=mine")
	e.allowed(t, namespace, "", "label", "pod", "web", "team=nuts")
}

// TestForgedLabelsRegisteredNamespace has an editor of a registered namespace label workloads
// with the platform namespace or the id of a workload elsewhere: each request is denied.
func TestForgedLabelsRegisteredNamespace(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	namespace, other := w.Namespace(t), w.Namespace(t)
	w.register(t, "team-a", namespace)
	w.register(t, "team-b", other)
	w.runJobManager(t, other)
	id := w.MustKubectl(t, "", "get", "deployment", "my-job", "-n", other, "-o", "jsonpath={.metadata.uid}")
	e := w.editor(t, namespace)
	e.allowed(t, namespace, nginxWorkload("Deployment", "web", "", ""), "create", "-f", "-")
	owner := e.deploymentReference(t, namespace, "web")
	for rule, labels := range map[string]string{
		"another platform namespace": strings.ReplaceAll(admittedLabels, "PLATFORM", "team-b"),
		"another id":                 strings.ReplaceAll(admittedLabels, "PLATFORM", "team-a") + ", deploymentId: " + id,
		"another cluster":            strings.ReplaceAll(admittedLabels, "PLATFORM", "team-a") + ", sessionClusterId: " + id,
	} {
		for _, kind := range []string{"Deployment", "StatefulSet", "Job", "Pod"} {
			e.deniedCreate(t, rule+", "+kind, namespace, nginxWorkload(kind, "states", labels, ""), metav1.DryRunAll)
			e.deniedCreate(t, rule+", "+kind+" with a missing owner", namespace, nginxWorkload(kind, "states", labels, missingOwner), metav1.DryRunAll)
		}
		e.denied(t, rule+", update", namespace, append([]string{"label", "deployment", "web"}, strings.Split(strings.ReplaceAll(labels, ": ", "="), ", ")...)...)
	}
	for _, key := range []string{"deploymentId", "sessionClusterId"} {
		forged := ", " + key + ": " + id
		e.deniedCreate(t, "TaskManager owned by nginx with another "+key, namespace, taskManagerPod("of-web", forged, owner))
		e.deniedCreate(t, "TaskManager with a missing owner and another "+key, namespace, taskManagerPod("of-none", forged, strings.Replace(owner, "name: web", "name: none", 1)))
		e.deniedCreate(t, "TaskManager with an owner of another API group and another "+key, namespace, taskManagerPod("of-other", forged, strings.Replace(owner, "apps/v1", "x.example/v1", 1)))
		e.deniedCreate(t, "TaskManager with the name of the other workload as owner and its "+key, namespace, taskManagerPod("of-it", forged, strings.NewReplacer("name: web", "name: my-job").Replace(owner)))
	}
	e.allowed(t, namespace, nginxWorkload("Deployment", "ours", strings.ReplaceAll(admittedLabels, "PLATFORM", "team-a"), ""), "create", "-f", "-")
}

// forgedLabelsOutage repeats [TestForgedLabels] while drey is down: the policies and the
// webhooks, which fail closed, deny the same. Labels of workloads from before the installation
// of drey do not register their namespace.
func forgedLabelsOutage(t *testing.T, w *world) (c outageCase) {
	namespace, later := w.Namespace(t), w.Namespace(t)
	var e editor
	podOfBefore := func(t *testing.T) {
		t.Helper()
		e.deniedCreate(t, "create a pod owned by a Deployment from before the installation", namespace, taskManagerPod("of-before", "", w.deploymentReference(t, namespace, "before")))
	}
	c.before = func(t *testing.T) {
		w.MustKubectl(t, nginxWorkload("Deployment", "before", strings.ReplaceAll(admittedLabels, "PLATFORM", "team-b"), "")+"---"+nginxWorkload("Deployment", "web", "", "")+"---"+nginxWorkload("Pod", "web", "", ""),
			"create", "-n", namespace, "-f", "-")
	}
	c.up = func(t *testing.T) {
		e = w.editor(t, namespace)
		e.denied(t, "change a Deployment from before the installation to Flink", namespace, "patch", "deployment", "before", "--type=json", "-p", flinkPatch)
		podOfBefore(t)
		// The labeler has processed its first list of workloads when it labels a namespace that is registered later.
		w.register(t, "team-a", later)
		eventually.OK(t, func() error { return w.checkRegistered(t, later, "true") })
	}
	c.down = func(t *testing.T) {
		if err := w.checkRegistered(t, namespace, ""); err != nil {
			t.Error(err)
		}
		w.awaitPolicy(t, namespace)
		e.forgeLabels(t, namespace)
		podOfBefore(t)
	}
	return c
}
