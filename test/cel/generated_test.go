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

const generated = 6_000

// generator makes objects of the signals that both sides know, of near misses, and
// of what has nothing to do with either.
type generator struct{ *rand.Rand }

func (g generator) of(list ...string) string { return list[g.IntN(len(list))] }
func (g generator) one(in int) bool          { return g.IntN(in) == 0 }

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
			"pgrep -f org.apache.flink.runtime.taskexecutor.TaskManagerRunner | xargs jstack", "cat /opt/flink/bin/taskmanager.sh", "echo a; java -cp x org.apache.flink.runtime.taskexecutor.TaskManagerRunner",
		))
	}
	return words
}

func (g generator) image() string {
	return g.of("flink", "flink:2.2", "apache/flink:2.2-scala_2.12", "registry:5000/flink", "flink:5000/other", "flink:5000/flink", "example.com/flink/jobs:1", "flink@sha256:0",
		"a/flink:1@sha256:0", "a@b/flink", "a:flink", "nginx", "flink-jobs", "example.com/myflink:1", "", "flink:1:2", "flink/", "a//flink", "apache/flink-statefun:3.2", "my-statefun:1", "team/fraud-flink:12")
}

func (g generator) pod() map[string]any {
	containers := []any{}
	for range 1 + g.IntN(2) {
		c := map[string]any{"name": g.of("main", "main", "jobmanager", "taskmanager", "flink-main-container", "flink-jobmanager", "taskmanager-exporter", "sidecar")}
		if !g.one(4) {
			c["image"] = g.image()
		}
		if g.one(3) {
			c["command"] = g.words()
		}
		if g.one(2) {
			c["args"] = g.words()
		}
		if g.one(3) {
			c["env"] = []any{map[string]any{"name": g.of("A", "FLINK_MODE", "FLINK_PROPERTIES", "FLINK_CONF_DIR", "MY_FLINK_MODE", "ROLE"), "value": g.of("FLINK_MODE", "master", "worker")}}
		}
		containers = append(containers, c)
	}
	spec := map[string]any{"containers": containers}
	if g.one(4) {
		spec["initContainers"] = []any{map[string]any{"name": "flink-main-container", "image": "flink", "args": g.words()}}
	}
	if g.one(4) {
		spec["volumes"] = []any{map[string]any{"name": g.of("data", "flink-config-volume"), "emptyDir": map[string]any{}}}
	}
	metadata := map[string]any{}
	if !g.one(4) {
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
		if kind == "Rollout" && g.one(4) {
			o["spec"] = map[string]any{"workloadRef": map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "name": "a"}}
		}
	}
	metadata["name"] = "a"
	if g.one(5) {
		metadata["ownerReferences"] = []any{map[string]any{
			"apiVersion": g.of("apps/v1", "v1", "flink.apache.org/v1beta1", "flink.apache.org/v2", "flinkoperator.k8s.io/v1beta1", "flink.k8s.io/v1beta1", "example.com/v1", "flink.apache.org"),
			"kind":       g.of("ReplicaSet", "Deployment", "FlinkDeployment", "FlinkSessionJob", "FlinkBlueGreenDeployment", "FlinkStateSnapshot", "FlinkCluster", "FlinkApplication"),
			"name":       "a", "uid": "0d0d0d0d-0000-4000-8000-000000000006", "controller": g.one(2),
		}}
	}
	if g.one(20) && kind != "Service" && kind != "ConfigMap" {
		metadata["annotations"] = map[string]any{"kubernetes.io/config.mirror": ""}
	}
	o["metadata"] = metadata
	return o
}

var apiVersions = map[string]string{
	"Pod": "v1", "Service": "v1", "ConfigMap": "v1", "ReplicationController": "v1", "Deployment": "apps/v1", "StatefulSet": "apps/v1", "DaemonSet": "apps/v1", "ReplicaSet": "apps/v1",
	"Job": "batch/v1", "CronJob": "batch/v1", "Rollout": "argoproj.io/v1alpha1",
}

// TestGenerated: nothing that Go labels or denies is kept away by CEL; what CEL lets
// through beyond that is what it cannot tell apart, and no more.
func TestGenerated(t *testing.T) {
	g := generator{rand.New(rand.NewPCG(1, 2))}
	code := newCode(t)
	flinks, more := 0, 0
	for range generated {
		o := g.object()
		passed, acted := called(t, admission.Create, o, nil), code.acting(t, o)
		for _, path := range acted {
			if !slices.Contains(passed, path) {
				t.Fatalf("%s acts on it, and CEL lets it only to %v: %v", path, passed, o)
			}
		}
		switch {
		case len(acted) > 0:
			flinks++
		case len(passed) > 0:
			more++
			if !unclear(o) {
				t.Fatalf("CEL lets it to %v, and Go does not act on it: %v", passed, o)
			}
		}
	}
	t.Logf("of %d objects Go acts on %d, and CEL lets %d more through", generated, flinks, more)
	if flinks < generated/10 || flinks > generated*9/10 {
		t.Errorf("of %d generated objects Go acts on %d: they show little", generated, flinks)
	}
}

// unclear lists what CEL does not tell apart: a word that mentions a script or a class
// of Flink's without starting it; whether the image's entry point gets the first
// argument, or something else that the command names; an image of which flink is a
// part of a word; and a pod with a client beside
// what is named like a JobManager.
func unclear(o map[string]any) bool {
	mentions := append(flink.Classes(), append(flink.Scripts(), "docker-entrypoint.sh")...)
	has := func(w string) func(map[string]any) bool {
		return func(c map[string]any) bool { image, _ := c["image"].(string); return strings.Contains(image, w) }
	}
	named := func(list []string, i int) bool { return len(list) > i && slices.Contains(roleArgs, list[i]) }
	if len((&unstructured.Unstructured{Object: o}).GetOwnerReferences()) > 0 { // Flink's operator itself, by its labels, as a custom resource's
		return true
	}
	all := containers(o)
	for _, c := range all {
		command, args := words(c["command"]), words(c["args"])
		switch {
		case slices.ContainsFunc(slices.Concat(command, args), func(w string) bool {
			return w == "history-server" || strings.HasSuffix(w, "/flink") || slices.ContainsFunc(mentions, func(m string) bool { return strings.Contains(w, m) })
		}),
			named(command, 1), len(command) > 1 && named(args, 0),
			slices.ContainsFunc(all, has("flink")) && (named(args, 0) || hasRole(c)):
			return true
		}
	}
	return false
}

func hasRole(c map[string]any) bool {
	env, _ := c["env"].([]any)
	return len(env) > 0 && env[0].(map[string]any)["name"] == "ROLE"
}

var roleArgs = flink.Roles()

func containers(o map[string]any) []map[string]any {
	for _, path := range [][]string{{"spec", "containers"}, {"spec", "template", "spec", "containers"}, {"spec", "jobTemplate", "spec", "template", "spec", "containers"}} {
		list, ok, _ := unstructured.NestedFieldNoCopy(o, path...)
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

func isVerverica(labels map[string]any) bool {
	return labels["system"] == "ververica-platform" && (labels["app"] == "flink-job" || labels["app"] == "flink-session-cluster")
}

// TestLabelUpdates: CEL sends exactly those updates that Go refuses, or looks at
// because they say whose a workload is, or that it is Flink's.
func TestLabelUpdates(t *testing.T) {
	g := generator{rand.New(rand.NewPCG(3, 4))}
	handler := newCode(t)[0][config.PathValidatePodLabels]
	keys := []string{"app", "drey.dev/app", "system", "vvpNamespace", "deploymentId", "deploymentName", "jobId", "sessionClusterId", "sessionClusterName", "component", "mine"}
	refused, claims := 0, 0
	for range generated {
		old, labels := map[string]any{}, map[string]any{}
		for range g.IntN(5) {
			old[g.of(keys...)] = g.of("a", "flink-job", "")
		}
		if !g.one(4) {
			old["system"] = "ververica-platform"
		}
		if g.one(3) {
			old["app"] = g.of("flink-job", "flink-session-cluster", "my-job")
		}
		maps.Copy(labels, old)
		for range g.IntN(3) {
			if key := g.of(keys...); g.one(2) {
				delete(labels, key)
			} else {
				labels[key] = g.of("a", "b", "flink-job", "")
			}
		}
		pod, before := g.labeled(labels), g.labeled(old)
		leaving := g.one(10)
		if leaving {
			pod["metadata"].(map[string]any)["deletionTimestamp"] = "2026-01-01T00:00:00Z"
		}
		allowed, _ := ask(t, handler, "UPDATE", pod, before)
		passed := slices.Contains(called(t, admission.Update, pod, before), config.PathValidatePodLabels)
		becomes := !leaving && isVerverica(labels) && !isVerverica(old)
		claimed := !leaving && labels["system"] == "ververica-platform" && verdict.SetsIdentity(stringMap(old), stringMap(labels))
		if passed != (!allowed || claimed || becomes) || leaving && !allowed {
			t.Fatalf("from %v to %v, being deleted: %t: CEL sends it: %t, Go allows it: %t, it claims something: %t", old, labels, leaving, passed, allowed, claimed)
		}
		if !allowed {
			refused++
		}
		if claimed {
			claims++
		}
		pod["apiVersion"], pod["kind"], before["apiVersion"], before["kind"] = "apps/v1", "Deployment", "apps/v1", "Deployment"
		template := map[string]any{"template": map[string]any{"spec": pod["spec"]}}
		pod["spec"], before["spec"] = template, template
		if passed := slices.Contains(called(t, admission.Update, pod, before), config.PathValidateLabels); passed != claimed {
			t.Fatalf("of a Deployment, from %v to %v, being deleted: %t: CEL sends it: %t, it claims something: %t", old, labels, leaving, passed, claimed)
		}
	}
	if claims < generated/20 || claims > generated*19/20 {
		t.Errorf("%d of %d updates claim something: they show little", claims, generated)
	}
	if refused < generated/10 || refused > generated*9/10 {
		t.Errorf("%d of %d updates are refused: they show little", refused, generated)
	}
}

func stringMap(m map[string]any) map[string]string {
	all := map[string]string{}
	for k, v := range m {
		all[k] = v.(string)
	}
	return all
}

func (g generator) labeled(labels map[string]any) map[string]any {
	metadata := map[string]any{"name": "a"}
	if len(labels) > 0 || g.one(2) {
		metadata["labels"] = labels
	}
	return map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": map[string]any{"containers": []any{map[string]any{"name": "main"}}}}
}
