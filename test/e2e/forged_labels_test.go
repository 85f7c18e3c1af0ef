package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/eventually"
	"drey.dev/drey/test/framework/fixtures"
)

// editor may do in some namespaces what the ClusterRole edit grants.
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

func (e editor) try(t testing.TB, namespace, manifest string, args ...string) (string, error) {
	t.Helper()
	return e.RunKubectl(t, manifest, append([]string{"--as=" + e.name, "-n", namespace}, args...)...)
}

// may fails the test unless kubectl succeeds.
func (e editor) may(t testing.TB, namespace, manifest string, args ...string) string {
	t.Helper()
	out, err := e.try(t, namespace, manifest, args...)
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s\n%s", strings.Join(args, " "), err, out, manifest)
	}
	return out
}

// refused fails the test unless drey or its policies refuse, and for a reason of theirs.
func (e editor) refused(t testing.TB, rule, namespace, manifest string, args ...string) {
	t.Helper()
	out, err := e.try(t, namespace, manifest, args...)
	if err == nil {
		t.Errorf("%s: allowed: %s", rule, out)
		return
	}
	for _, words := range []string{"no DeploymentTarget", "belongs to another object", "failed calling webhook"} {
		if strings.Contains(out, words) {
			return
		}
	}
	t.Errorf("%s: refused for another reason: %s", rule, out)
}

const (
	stated = `system: ververica-platform, vvpNamespace: PLATFORM`

	plainWorkload = `
apiVersion: VERSION
kind: KIND
metadata: {name: NAME, labels: {LABELS}, ownerReferences: [OWNERS]}
spec: {SPEC}
`
	plainTemplate = `template: {metadata: {labels: {run: NAME}}, spec: {restartPolicy: RESTART, containers: [{name: web, image: nginx}]}}`

	nativeTaskManager = `
apiVersion: v1
kind: Pod
metadata: {name: NAME, labels: {app: nuts, component: taskmanager, type: flink-native-kubernetes LABELS}, ownerReferences: [OWNERS]}
spec: {containers: [{name: flink-main-container, image: "flink:2.2", args: [kubernetes-jobmanager.sh, kubernetes-application]}]}
`
	madeUpCustom = `{apiVersion: flink.apache.org/v99, kind: FlinkDeployment, name: nuts, uid: 11111111-2222-4333-8444-555555555555}`
	becomesFlink = `[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"flink:2.2"},` +
		`{"op":"add","path":"/spec/template/spec/containers/0/args","value":["kubernetes-jobmanager.sh","kubernetes-application"]}]`
)

// plainOf is a workload of nginx.
func plainOf(kind, name, labels, owners string) string {
	version, restart, spec := "apps/v1", "Always", "selector: {matchLabels: {run: NAME}}, "+plainTemplate
	switch kind {
	case "Job":
		version, restart, spec = "batch/v1", "Never", plainTemplate
	case "CronJob":
		version, restart, spec = "batch/v1", "Never", `schedule: "0 0 1 1 *", jobTemplate: {spec: {`+plainTemplate+`}}`
	case "Pod":
		version, spec = "v1", "containers: [{name: web, image: nginx}]"
	case "StatefulSet":
		spec = "serviceName: NAME, replicas: 0, " + spec
	case "Deployment":
		spec = "replicas: 0, " + spec
	}
	return strings.NewReplacer("VERSION", version, "KIND", kind, "NAME", name, "LABELS", labels, "OWNERS", owners, "RESTART", restart).
		Replace(strings.NewReplacer("SPEC", spec).Replace(plainWorkload))
}

func taskManagerOf(name, labels, owner string) string {
	return strings.NewReplacer("NAME", name, "LABELS", labels, "OWNERS", owner).Replace(nativeTaskManager)
}

// controllerOf is an owner reference to a Deployment that is there.
func (w *world) controllerOf(t testing.TB, namespace, name string) string {
	t.Helper()
	uid := w.MustKubectl(t, "", "get", "deployment", name, "-n", namespace, "-o", "jsonpath={.metadata.uid}")
	return fmt.Sprintf("{apiVersion: apps/v1, kind: Deployment, name: %s, uid: %s, controller: true}", name, uid)
}

// tryTrust has an editor try to pass as what was admitted, in a namespace that was never
// registered, and has each refused. web is a Deployment of nginx there.
func (e editor) tryTrust(t *testing.T, namespace string) {
	t.Helper()
	labels := strings.ReplaceAll(stated, "PLATFORM", "team-b")
	create := []string{"create", "-f", "-"}
	for _, kind := range []string{"Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "Pod"} {
		e.refused(t, "a "+kind+" states the labels", namespace, plainOf(kind, "states", labels, ""), create...)
		e.refused(t, "a "+kind+" of a custom resource that is not there states them", namespace, plainOf(kind, "owned", labels, madeUpCustom), create...)
	}
	e.refused(t, "a Deployment gets the labels", namespace, "", "label", "deployment", "web", "system=ververica-platform", "vvpNamespace=team-b")
	e.refused(t, "a Deployment becomes Flink's", namespace, "", "patch", "deployment", "web", "--type=json", "-p", becomesFlink)
	e.refused(t, "a pod becomes Flink's by its labels", namespace, "", "label", "pod", "web", "type=flink-native-kubernetes")
	owner := e.controllerOf(t, namespace, "web")
	e.refused(t, "a TaskManager of a Deployment of nginx", namespace, taskManagerOf("of-web", "", owner), create...)
	e.refused(t, "a TaskManager of a Deployment that is not there", namespace, taskManagerOf("of-none", "", strings.Replace(owner, "name: web", "name: none", 1)), create...)
	e.refused(t, "a TaskManager of a Deployment of another group", namespace, taskManagerOf("of-other", "", strings.Replace(owner, "apps/v1", "x.example/v1", 1)), create...)
	e.refused(t, "a pod of a custom resource that is not there", namespace, taskManagerOf("of-custom", "", madeUpCustom), create...)
	e.refused(t, "a Deployment of a custom resource that is not there", namespace, strings.NewReplacer("nginx", "flink:2.2}, {name: flink-main-container, image: flink:2.2").
		Replace(plainOf("Deployment", "of-custom", "", madeUpCustom)), create...)
}

// TestForgedLabels: what an editor of a namespace may write does not let Flink in.
func TestForgedLabels(t *testing.T) {
	w := inWorld(t)
	t.Parallel()
	namespace := w.Namespace(t)
	e := w.editor(t, namespace)
	e.may(t, namespace, plainOf("Deployment", "web", "", "")+"---"+plainOf("Pod", "web", "", ""), "create", "-f", "-")
	e.tryTrust(t, namespace)
	if mark := w.MustKubectl(t, "", "get", "namespace", namespace, "-o", `jsonpath={.metadata.labels.drey\.dev/registered}`); mark != "" {
		t.Errorf("the namespace is marked %q", mark)
	}
	e.may(t, namespace, "", "set", "image", "deployment/web", "web=nginx:2") // all else is theirs
	e.may(t, namespace, "", "label", "deployment", "web", "system=mine")
	e.may(t, namespace, "", "label", "pod", "web", "team=nuts")
}

// TestForgedLabelsRegisteredNamespace: nor do they make a workload another's there.
func TestForgedLabelsRegisteredNamespace(t *testing.T) {
	w := inWorld(t)
	t.Parallel()
	namespace, other := w.Namespace(t), w.Namespace(t)
	w.register(t, "team-a", namespace)
	w.register(t, "team-b", other)
	w.runJobManager(t, other)
	id := w.MustKubectl(t, "", "get", "deployment", "my-job", "-n", other, "-o", "jsonpath={.metadata.uid}")
	e := w.editor(t, namespace)
	create := []string{"create", "-f", "-"}
	e.may(t, namespace, plainOf("Deployment", "web", "", ""), create...)
	owner := e.controllerOf(t, namespace, "web")
	for rule, labels := range map[string]string{
		"another platform namespace": strings.ReplaceAll(stated, "PLATFORM", "team-b"),
		"another's id":               strings.ReplaceAll(stated, "PLATFORM", "team-a") + ", deploymentId: " + id,
		"another's cluster":          strings.ReplaceAll(stated, "PLATFORM", "team-a") + ", sessionClusterId: " + id,
	} {
		for _, kind := range []string{"Deployment", "StatefulSet", "Job", "Pod"} {
			dryRun := append(slices.Clone(create), "--dry-run=server")
			e.refused(t, rule+" on a "+kind, namespace, plainOf(kind, "states", labels, ""), dryRun...)
			e.refused(t, rule+" on a "+kind+" of a custom resource that is not there", namespace, plainOf(kind, "states", labels, madeUpCustom), dryRun...)
		}
		e.refused(t, rule+" later", namespace, "", append([]string{"label", "deployment", "web"}, strings.Split(strings.ReplaceAll(labels, ": ", "="), ", ")...)...)
	}
	for _, key := range []string{"deploymentId", "sessionClusterId"} {
		stolen := ", " + key + ": " + id
		e.refused(t, "a TaskManager of nginx with another's "+key, namespace, taskManagerOf("of-web", stolen, owner), create...)
		e.refused(t, "a TaskManager of none with another's "+key, namespace, taskManagerOf("of-none", stolen, strings.Replace(owner, "name: web", "name: none", 1)), create...)
		e.refused(t, "a TaskManager of another group with another's "+key, namespace, taskManagerOf("of-other", stolen, strings.Replace(owner, "apps/v1", "x.example/v1", 1)), create...)
		e.refused(t, "a TaskManager of the other itself with its "+key, namespace, taskManagerOf("of-it", stolen, strings.NewReplacer("name: web", "name: my-job").Replace(owner)), create...)
	}
	e.may(t, namespace, plainOf("Deployment", "ours", strings.ReplaceAll(stated, "PLATFORM", "team-a"), ""), create...)
}

// TestForgedLabelsOutage: the built-in policies and what fails closed hold
// the same; and what was there before drey came makes no record of a target.
func TestForgedLabelsOutage(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t)
	if err := fixtures.InstallCRDs(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	namespace := c.Namespace(t)
	c.MustKubectl(t, plainOf("Deployment", "before", strings.ReplaceAll(stated, "PLATFORM", "team-b"), "")+"---"+plainOf("Deployment", "web", "", "")+"---"+plainOf("Pod", "web", "", ""),
		"create", "-n", namespace, "-f", "-")
	w, err := newWorld(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	e := w.editor(t, namespace)
	e.refused(t, "a Deployment from before becomes Flink's", namespace, "", "patch", "deployment", "before", "--type=json", "-p", becomesFlink)
	e.refused(t, "a pod of a Deployment from before", namespace, taskManagerOf("of-before", "", w.controllerOf(t, namespace, "before")), "create", "-f", "-")
	time.Sleep(2 * time.Second) // for the labeler of namespaces to do what it may
	if mark := w.MustKubectl(t, "", "get", "namespace", namespace, "-o", `jsonpath={.metadata.labels.drey\.dev/registered}`); mark != "" {
		t.Errorf("the namespace is marked %q", mark)
	}
	if err := w.drey.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually.OK(t, 10*time.Second, func() error { // the API server learns of a policy within a second or so
		out, err := w.RunKubectl(t, fmt.Sprintf(bareFlinkPod, "bare"), "create", "--dry-run=server", "-n", namespace, "-f", "-")
		if err == nil {
			return fmt.Errorf("allowed: %s", out)
		}
		return nil
	})
	e.tryTrust(t, namespace)
	e.refused(t, "a pod of a Deployment from before", namespace, taskManagerOf("of-before", "", w.controllerOf(t, namespace, "before")), "create", "-f", "-")
}
