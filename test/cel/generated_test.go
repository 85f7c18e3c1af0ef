package cel

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apiserver/pkg/admission"

	"drey.dev/drey/webhook/config"
	"drey.dev/drey/webhook/flink"
	"drey.dev/drey/webhook/verdict"
)

// generated is how many objects each test generates.
const generated = 6_000

// generator generates objects from the signals of Flink, near misses and unrelated values.
type generator struct{ *rand.Rand }

func (g generator) of(list ...string) string { return list[g.IntN(len(list))] }
func (g generator) oneIn(n int) bool         { return g.IntN(n) == 0 }

func (g generator) labels() map[string]any {
	labels := map[string]any{}
	for range g.IntN(4) {
		switch g.IntN(9) {
		case 0:
			labels["type"] = g.of("flink-native-kubernetes", "flink-standalone-kubernetes", "native", "")
		case 1:
			labels["component"] = g.of("jobmanager", "taskmanager", "dedup-jobmanager", "a.task-manager", "job-cluster", "jobmanager-client", "JobManager", "xjobmanager", "worker", "")
		case 2:
			labels["system"] = g.of("ververica-platform", "other")
			labels["app"] = g.of("flink-job", "flink-session-cluster", "web")
		case 3:
			labels["app"] = g.of("flink", "flink-job", "my-job", "statefun", "my-statefun-app")
		case 4:
			labels["app.kubernetes.io/name"] = g.of("flink", "flink-kubernetes-operator", "kafka")
		case 5:
			labels["app.kubernetes.io/component"] = g.of("jobmanager", "taskmanager", "x_task_manager", "jobmanagers", "history-server")
		case 6:
			labels["flink-app"] = g.of("wordcount", "")
		case 7:
			labels["flink-deployment-type"] = g.of("jobmanager", "taskmanager", "")
		case 8:
			labels["flink-app"], labels["flink-deployment-type"] = g.of("wordcount", ""), g.of("jobmanager", "other")
		}
	}
	return labels
}

func (g generator) words() []any {
	words := []any{}
	for range g.IntN(4) {
		words = append(words, g.of(
			"/docker-entrypoint.sh", "docker-entrypoint.sh", "jobmanager", "taskmanager", "standalone-job", "job-cluster", "task-manager", "history-server", "bash", "-c", "",
			"kubernetes-jobmanager.sh kubernetes-session", "exec  /opt/flink/bin/kubernetes-taskmanager.sh -D x", "xkubernetes-jobmanager.shx", "kubernetes-jobmanager",
			"org.apache.flink.runtime.taskexecutor.TaskManagerRunner", `java "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"`,
			"org.apache.flink.runtime.webmonitor.history.HistoryServer", "org.apache.flinkx", "--job-id=a", "\tjobmanager ",
			"/opt/flink/bin/taskmanager.sh", "standalone-job.sh", "jobmanager.sh", "start-foreground", "stop", "java", "-cp", "/x:/y", "sh", "-ec", "tini", "--", "/wait.sh", "/opt/flink/bin/flink", "run",
			"exec /docker-entrypoint.sh jobmanager", `exec "$FLINK_HOME"/bin/standalone-job.sh start-foreground -D'a=b'`, "if true; then taskmanager.sh start-foreground; fi",
			"pgrep -f org.apache.flink.runtime.taskexecutor.TaskManagerRunner | xargs jstack", "cat /opt/flink/bin/taskmanager.sh", "ROLE=taskmanager; exec /opt/flink/bin/$ROLE.sh start", "exec /docker-entrypoint.sh ${ROLE:-jobmanager}",
			"$(A)", "exec /docker-entrypoint.sh $A", "$(B)", "bash <<E\nexec taskmanager.sh start\nE\n", "A=standalone-job && exec $B/$A.sh start", "cat >/x <<E\nA=$A\nE\n. taskmanager.sh start", "su flink -c 'jobmanager.sh start'", "echo /docker-entrypoint.sh jobmanager", "kubectl exec a -- /docker-entrypoint.sh taskmanager",
			"echo a; java -cp x org.apache.flink.runtime.taskexecutor.TaskManagerRunner",
			"-nc", "-D", "-Djobmanager.rpc.address=a", "taskmanager.numberOfTaskSlots=2", "--job-classname", "env", "-S", "go-init", "-main", "exec $(drop) taskmanager.sh start", "jobmanager.sh start-foreground",
			"sleep 1\n/docker-entrypoint.sh taskmanager & wait", "cat >/x <<E\ndocker-entrypoint.sh jobmanager\nE\n", "echo \\\n docker-entrypoint.sh jobmanager", "echo 'a\ndocker-entrypoint.sh jobmanager'", "R=task; docker-entrypoint.sh ${R}manager", "/my-entrypoint.sh", "exec /my-entrypoint.sh taskmanager", "set -- jobmanager; exec /docker-entrypoint.sh \"$@\"",
		))
	}
	return words
}

func (g generator) image() string {
	return g.of("flink", "flink:2.2", "apache/flink:2.2-scala_2.12", "registry:5000/flink", "flink:5000/other", "flink:5000/flink", "example.com/flink/jobs:1", "flink@sha256:0",
		"a/flink:1@sha256:0", "a@b/flink", "a:flink", "nginx", "flink-jobs", "example.com/myflink:1", "", "flink:1:2", "flink/", "a//flink", "apache/flink-statefun:3.2", "my-statefun:1", "team/fraud-flink:12", "pyflink:2")
}

func (g generator) pod() map[string]any {
	containers := []any{}
	for range 1 + g.IntN(2) {
		c := map[string]any{"name": g.of("main", "main", "jobmanager", "taskmanager", "flink-main-container", "flink-jobmanager", "taskmanager-exporter", "sidecar")}
		if !g.oneIn(4) {
			c["image"] = g.image()
		}
		if g.oneIn(3) {
			c["command"] = g.words()
		}
		if g.oneIn(2) {
			c["args"] = g.words()
		}
		if g.oneIn(3) {
			c["env"] = []any{map[string]any{"name": g.of("A", "A", "FLINK_MODE", "FLINK_PROPERTIES", "JOB_MANAGER_RPC_ADDRESS", "FLINK_CONF_DIR", "MY_FLINK_MODE", "ROLE"), "value": g.of("FLINK_MODE", "master", "worker", "taskmanager", "jobmanager", "/docker-entrypoint.sh taskmanager")}}
		}
		containers = append(containers, c)
	}
	spec := map[string]any{"containers": containers}
	if g.oneIn(4) {
		spec["initContainers"] = []any{map[string]any{"name": "flink-main-container", "image": "flink", "args": g.words()}}
	}
	if g.oneIn(6) {
		c := map[string]any{"name": g.of("flink-main-container", "taskmanager", "proxy"), "image": g.image(), "args": g.words(), "restartPolicy": g.of("Always", "Always", "OnFailure", "")}
		if g.oneIn(3) {
			c["env"] = []any{map[string]any{"name": g.of("A", "FLINK_MODE", "FLINK_PROPERTIES"), "value": g.of("taskmanager", "/docker-entrypoint.sh taskmanager")}}
		}
		spec["initContainers"] = []any{c}
	}
	if g.oneIn(4) {
		spec["volumes"] = []any{map[string]any{"name": g.of("data", "flink-config-volume"), "emptyDir": map[string]any{}}}
	}
	metadata := map[string]any{}
	if !g.oneIn(4) {
		metadata["labels"] = g.labels()
	}
	return map[string]any{"metadata": metadata, "spec": spec}
}

func (g generator) object() map[string]any {
	kind := g.of("Pod", "Pod", "Pod", "Deployment", "StatefulSet", "Job", "CronJob", "DaemonSet", "ReplicaSet", "ReplicationController", "Rollout", "Service", "ConfigMap")
	o := map[string]any{"apiVersion": apiVersions[kind], "kind": kind}
	var metadata map[string]any
	switch kind {
	case "Pod":
		p := g.pod()
		metadata, o["spec"] = p["metadata"].(map[string]any), p["spec"]
	case "Service", "ConfigMap":
		metadata = map[string]any{"labels": g.labels()}
	case "CronJob":
		metadata = map[string]any{"labels": g.labels()}
		o["spec"] = map[string]any{"jobTemplate": map[string]any{"spec": map[string]any{"template": g.pod()}}}
	default:
		metadata = map[string]any{"labels": g.labels()}
		o["spec"] = map[string]any{"template": g.pod()}
		if kind == "Rollout" && g.oneIn(4) {
			o["spec"] = map[string]any{"workloadRef": map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "name": "a"}}
		}
	}
	metadata["name"] = "a"
	if g.oneIn(5) {
		metadata["ownerReferences"] = []any{map[string]any{
			"apiVersion": g.of("apps/v1", "v1", "flink.apache.org/v1beta1", "flink.apache.org/v2", "flinkoperator.k8s.io/v1beta1", "flink.k8s.io/v1beta1", "example.com/v1", "flink.apache.org"),
			"kind":       g.of("ReplicaSet", "Deployment", "FlinkDeployment", "FlinkSessionJob", "FlinkBlueGreenDeployment", "FlinkStateSnapshot", "FlinkCluster", "FlinkApplication"),
			"name":       "a", "uid": "0d0d0d0d-0000-4000-8000-000000000006", "controller": g.oneIn(2),
		}}
	}
	if g.oneIn(20) && kind != "Service" && kind != "ConfigMap" {
		metadata["annotations"] = map[string]any{"kubernetes.io/config.mirror": ""}
	}
	o["metadata"] = metadata
	return o
}

var apiVersions = map[string]string{
	"Pod": "v1", "Service": "v1", "ConfigMap": "v1", "ReplicationController": "v1", "Deployment": "apps/v1", "StatefulSet": "apps/v1", "DaemonSet": "apps/v1", "ReplicaSet": "apps/v1",
	"Job": "batch/v1", "CronJob": "batch/v1", "Rollout": "argoproj.io/v1alpha1",
}

// TestGenerated: CEL matches each generated object that Go labels or denies, and in addition
// only objects that CEL cannot distinguish.
func TestGenerated(t *testing.T) {
	g := generator{rand.New(rand.NewPCG(1, 2))}
	code := newCode(t)
	acting, additional := 0, 0
	for range generated {
		o := g.object()
		passed, acted := called(t, admission.Create, o, nil), code.acting(t, o)
		for _, path := range acted {
			if !slices.Contains(passed, path) {
				t.Fatalf("got CEL matches for %v, want %s, at which Go acts: %v", passed, path, o)
			}
		}
		switch {
		case len(acted) > 0:
			acting++
		case len(passed) > 0:
			additional++
			if !ambiguous(o) {
				t.Fatalf("got CEL matches for %v, want none as Go does not act: %v", passed, o)
			}
		}
	}
	t.Logf("of %d objects Go acts on %d, and CEL matches %d more", generated, acting, additional)
	if acting < generated/10 || acting > generated*9/10 {
		t.Errorf("got %d of %d objects on which Go acts, want a mix", acting, generated)
	}
}

// ambiguous reports whether CEL cannot distinguish an object from Flink: a word mentions a
// script or a class of Flink without starting it, or expands a variable; a native sidecar has a hint of Flink; a role is spelled as other products do; a command other than the image's entry
// point gets the first argument; flink is a part of a word in the image; an owner is
// set, as by Flink's operator; or a mirror pod is selected by its label type, without CEL.
func ambiguous(o map[string]any) bool {
	mentions := append(flink.Classes(), append(flink.Scripts(), "entrypoint.sh")...)
	has := func(w string) func(map[string]any) bool {
		return func(c map[string]any) bool { image, _ := c["image"].(string); return strings.Contains(image, w) }
	}
	named := func(list []string, i int) bool { return len(list) > i && slices.Contains(roleArgs, list[i]) }
	u := &unstructured.Unstructured{Object: o}
	if _, mirror := u.GetAnnotations()["kubernetes.io/config.mirror"]; len(u.GetOwnerReferences()) > 0 || mirror && u.GetKind() == "Pod" {
		return true
	}
	all := containers(o)
	if slices.ContainsFunc(containersAt(o, "initContainers"), func(c map[string]any) bool { return c["restartPolicy"] == "Always" }) {
		return true
	}
	for _, c := range all {
		command, args := words(c["command"]), words(c["args"])
		switch {
		case slices.ContainsFunc(slices.Concat(command, args), func(w string) bool {
			return w == "history-server" || strings.Contains(w, "$") || strings.HasSuffix(w, "/flink") || slices.ContainsFunc(mentions, func(m string) bool { return strings.Contains(w, m) })
		}),
			named(command, 1), len(command) > 1 && named(args, 0), slices.Contains(args, "task-manager"), slices.Contains(args, "job-cluster"),
			slices.ContainsFunc(all, has("flink")) && (named(args, 0) || hasRole(c)):
			return true
		}
	}
	return false
}

// hasRole reports whether a container's first variable is ROLE.
func hasRole(c map[string]any) bool {
	env, _ := c["env"].([]any)
	return len(env) > 0 && env[0].(map[string]any)["name"] == "ROLE"
}

var roleArgs = flink.Roles()

// containers returns the containers of a Pod or of a pod template.
func containers(o map[string]any) []map[string]any { return containersAt(o, "containers") }

// containersAt returns the containers in a field of the spec of a Pod or of a pod template.
func containersAt(o map[string]any, field string) []map[string]any {
	for _, path := range [][]string{{"spec"}, {"spec", "template", "spec"}, {"spec", "jobTemplate", "spec", "template", "spec"}} {
		list, ok, _ := unstructured.NestedFieldNoCopy(o, append(path, field)...)
		if !ok {
			continue
		}
		var all []map[string]any
		for _, c := range list.([]any) {
			all = append(all, c.(map[string]any))
		}
		return all
	}
	return nil
}

func words(list any) []string {
	var all []string
	some, _ := list.([]any)
	for _, w := range some {
		all = append(all, w.(string))
	}
	return all
}

// isVerverica reports whether labels mark an object of Ververica Platform.
func isVerverica(labels map[string]any) bool {
	return labels["system"] == "ververica-platform" && (labels["app"] == "flink-job" || labels["app"] == "flink-session-cluster")
}

// TestLabelUpdates: CEL matches exactly the label updates that Go denies, that claim an id,
// or that make a pod one of Ververica Platform.
func TestLabelUpdates(t *testing.T) {
	g := generator{rand.New(rand.NewPCG(3, 4))}
	handler := newCode(t)[0][config.PathValidatePodLabels]
	keys := []string{"app", "drey.dev/app", "system", "vvpNamespace", "deploymentId", "deploymentName", "jobId", "sessionClusterId", "sessionClusterName", "component", "mine"}
	denials, claims := 0, 0
	for range generated {
		old, labels := map[string]any{}, map[string]any{}
		for range g.IntN(5) {
			old[g.of(keys...)] = g.of("a", "flink-job", "")
		}
		if !g.oneIn(4) {
			old["system"] = "ververica-platform"
		}
		if g.oneIn(3) {
			old["app"] = g.of("flink-job", "flink-session-cluster", "my-job")
		}
		maps.Copy(labels, old)
		for range g.IntN(3) {
			if key := g.of(keys...); g.oneIn(2) {
				delete(labels, key)
			} else {
				labels[key] = g.of("a", "b", "flink-job", "")
			}
		}
		pod, before := g.labeled(labels), g.labeled(old)
		terminating := g.oneIn(10)
		if terminating {
			pod["metadata"].(map[string]any)["deletionTimestamp"] = "2026-01-01T00:00:00Z"
		}
		allowed, _ := review(t, handler, "UPDATE", pod, before)
		passed := slices.Contains(called(t, admission.Update, pod, before), config.PathValidatePodLabels)
		becomes := !terminating && isVerverica(labels) && !isVerverica(old)
		claimed := !terminating && labels["system"] == "ververica-platform" && verdict.SetsIdentity(stringMap(old), stringMap(labels))
		if passed != (!allowed || claimed || becomes) || terminating && !allowed {
			t.Fatalf("pod labels from %v to %v, terminating: %t: got CEL match %t, Go allows %t, claim %t", old, labels, terminating, passed, allowed, claimed)
		}
		if !allowed {
			denials++
		}
		if claimed {
			claims++
		}
		pod["apiVersion"], pod["kind"], before["apiVersion"], before["kind"] = "apps/v1", "Deployment", "apps/v1", "Deployment"
		template := map[string]any{"template": map[string]any{"spec": pod["spec"]}}
		pod["spec"], before["spec"] = template, template
		if passed := slices.Contains(called(t, admission.Update, pod, before), config.PathValidateLabels); passed != claimed {
			t.Fatalf("Deployment labels from %v to %v, terminating: %t: got CEL match %t, claim %t", old, labels, terminating, passed, claimed)
		}
	}
	if claims < generated/20 || claims > generated*19/20 {
		t.Errorf("got %d of %d updates with a claim, want a mix", claims, generated)
	}
	if denials < generated/10 || denials > generated*9/10 {
		t.Errorf("got %d of %d updates denied, want a mix", denials, generated)
	}
}

func stringMap(m map[string]any) map[string]string {
	all := map[string]string{}
	for k, v := range m {
		all[k] = v.(string)
	}
	return all
}

// labeled returns a pod with labels.
func (g generator) labeled(labels map[string]any) map[string]any {
	metadata := map[string]any{"name": "a"}
	if len(labels) > 0 || g.oneIn(2) {
		metadata["labels"] = labels
	}
	return map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": map[string]any{"containers": []any{map[string]any{"name": "main"}}}}
}
