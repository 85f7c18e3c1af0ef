package e2e

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"drey.dev/drey/test/framework/eventually"
)

var (
	workloads = flag.Int("workloads", 80, "number of random workloads of TestRandomSelectors")
	seed      = flag.Uint64("seed", 0, "seed of TestRandomSelectors; 0: random")
)

// TestRandomSelectors creates random Deployments, ReplicaSets, StatefulSets and Jobs, with
// selectors on the labels that drey adds; some require their absence. Each workload has the
// number of pods of its spec, controls all of them, and stays so.
func TestRandomSelectors(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	t.Logf("go test ./test/e2e -run %s -seed %d", t.Name(), *seed)
	rng := rand.New(rand.NewPCG(*seed, 1))
	namespace := w.Namespace(t)
	w.register(t, "team-a", namespace)
	want := map[string]int{} // pods by workload
	for i := range *workloads {
		o, pods := randomWorkload(rng, i)
		created, err := w.create(t.Context(), namespace, o)
		if err != nil {
			t.Fatalf("%v\n%v", o, err)
		}
		want[created.GetName()] = pods
	}
	check := func() error {
		got := map[string]int{}
		for _, p := range w.list(t, "Pod", namespace) {
			owner := metav1.GetControllerOf(&p)
			if owner == nil {
				return fmt.Errorf("pod %s is an orphan with the labels %v", p.GetName(), p.GetLabels())
			}
			got[p.GetAnnotations()["of"]]++
		}
		for name, pods := range want {
			if got[name] != pods {
				return fmt.Errorf("pods of %s: got %d, want %d", name, got[name], pods)
			}
		}
		return nil
	}
	eventually.OK(t, check)
	uids := func() (all []string) {
		for _, p := range w.list(t, "Pod", namespace) {
			all = append(all, string(p.GetUID()))
		}
		for _, s := range w.list(t, "ReplicaSet", namespace) {
			all = append(all, string(s.GetUID()))
		}
		slices.Sort(all)
		return all
	}
	before := uids()
	for range 10 {
		time.Sleep(500 * time.Millisecond)
		if err := check(); err != nil {
			t.Fatal(err)
		}
	}
	if after := uids(); !slices.Equal(before, after) {
		t.Errorf("pods and ReplicaSets: got %v, want %v as before", after, before)
	}
}

// randomWorkload returns a workload with signals of Flink, and a selector on labels that drey
// adds.
func randomWorkload(rng *rand.Rand, number int) (o map[string]any, pods int) {
	pick := func(list ...string) string { return list[rng.IntN(len(list))] }
	name := fmt.Sprintf("w%d", number)
	keys := []string{"app", "drey.dev/app", "system", "vvpNamespace", "deploymentId", "deploymentName", "jobId", "sessionClusterId", "sessionClusterName"}
	values := []string{"flink-job", "flink-session-cluster", "ververica-platform", "team-a", "x", name}
	template := labels.Set{"number": name}
	for range rng.IntN(3) {
		key := keys[rng.IntN(len(keys))]
		if key == "vvpNamespace" {
			template[key] = "team-a" // drey denies others
			continue
		}
		template[key] = values[rng.IntN(len(values))]
	}
	template[pick("component", "type")] = ""
	if _, ok := template["component"]; ok {
		template["component"] = pick("jobmanager", "taskmanager")
	} else {
		template["type"] = pick("flink-native-kubernetes", "flink-standalone-kubernetes")
	}
	selector := metav1.LabelSelector{MatchLabels: map[string]string{"number": name}}
	for range rng.IntN(4) {
		r := metav1.LabelSelectorRequirement{Key: keys[rng.IntN(len(keys))]}
		switch value, ok := template[r.Key]; {
		case ok && rng.IntN(2) == 0:
			selector.MatchLabels[r.Key] = value
			continue
		case ok:
			r.Operator, r.Values = metav1.LabelSelectorOpIn, []string{value, "other"}
		case rng.IntN(2) == 0:
			r.Operator = metav1.LabelSelectorOpDoesNotExist
		default:
			r.Operator, r.Values = metav1.LabelSelectorOpNotIn, []string{values[rng.IntN(len(values))], values[rng.IntN(len(values))]}
		}
		selector.MatchExpressions = append(selector.MatchExpressions, r)
	}
	container := map[string]any{"name": pick("jobmanager", "taskmanager", "flink-main-container"), "image": "flink:2.2", "args": []any{pick("jobmanager", "standalone-job", "taskmanager")}}
	podSpec := map[string]any{"containers": []any{container}}
	kind := pick("Deployment", "ReplicaSet", "StatefulSet", "Job")
	pods = 1 + rng.IntN(2)
	spec := map[string]any{"template": map[string]any{"metadata": map[string]any{"labels": template, "annotations": map[string]any{"of": name}}, "spec": podSpec}, "selector": selector}
	apiVersion := "apps/v1"
	switch kind {
	case "Job":
		apiVersion, podSpec["restartPolicy"] = "batch/v1", "Never"
		spec["parallelism"], spec["completions"], spec["manualSelector"] = pods, pods, true
	case "StatefulSet":
		spec["serviceName"], spec["replicas"], spec["podManagementPolicy"] = "x", pods, "Parallel"
	default:
		spec["replicas"] = pods
	}
	return map[string]any{"apiVersion": apiVersion, "kind": kind, "metadata": map[string]any{"name": name}, "spec": spec}, pods
}

// TestSelectorOfController creates workloads that select pods by the absence of a label of drey.
// Drey uses the selector of the pod's controller, not of another workload with a similar name.
func TestSelectorOfController(t *testing.T) {
	w := sharedWorld(t)
	t.Parallel()
	for name, create := range map[string]func(t *testing.T, w *world, namespace string) (pods int){
		"Deployment with drey's labels in its manifest": func(t *testing.T, w *world, namespace string) int {
			w.MustKubectl(t, deploymentWithoutIDs("{system: ververica-platform, vvpNamespace: team-a}", 0), "apply", "-n", namespace, "-f", "-")
			w.MustKubectl(t, deploymentWithoutIDs("{system: ververica-platform, vvpNamespace: team-a}", 2), "replace", "-n", namespace, "-f", "-")
			return 2
		},
		"ReplicaSet whose Deployment was replaced by another with its name": func(t *testing.T, w *world, namespace string) int {
			w.MustKubectl(t, deploymentWithoutIDs("{}", 1), "apply", "-n", namespace, "-f", "-")
			eventually.OK(t, func() error { return w.checkPodCount(t, namespace, 1) })
			w.MustKubectl(t, "", "delete", "deployment", "picky", "-n", namespace, "--cascade=orphan")
			other := strings.NewReplacer("generation: old", "generation: new", "{key: deploymentId, operator: DoesNotExist}", "").Replace(deploymentWithoutIDs("{}", 1))
			w.MustKubectl(t, other, "apply", "-n", namespace, "-f", "-")
			w.MustKubectl(t, "", "delete", "pod", "-n", namespace, "-l", "generation=old", "--now")
			return 2
		},
		"ReplicaSet with the name prefix of another Deployment": func(t *testing.T, w *world, namespace string) int {
			w.MustKubectl(t, strings.Replace(deploymentWithoutIDs("{}", 1), "{key: deploymentId, operator: DoesNotExist}", "", 1), "apply", "-n", namespace, "-f", "-")
			set := strings.NewReplacer("kind: Deployment", "kind: ReplicaSet", "name: picky", "name: picky-set", "generation: old", "generation: set").Replace(deploymentWithoutIDs("{}", 1))
			w.MustKubectl(t, set, "apply", "-n", namespace, "-f", "-")
			return 2
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			namespace := w.Namespace(t)
			w.register(t, "team-a", namespace)
			want := create(t, w, namespace)
			check := func() error {
				pods := w.list(t, "Pod", namespace)
				for _, p := range pods {
					if metav1.GetControllerOf(&p) == nil {
						return fmt.Errorf("pod %s is an orphan with the labels %v", p.GetName(), p.GetLabels())
					}
				}
				return w.checkPodCount(t, namespace, want)
			}
			eventually.OK(t, check)
			for range 6 {
				time.Sleep(500 * time.Millisecond)
				if err := check(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// deploymentWithoutIDs returns the manifest of a Deployment that selects pods by the absence of a
// label that drey adds.
func deploymentWithoutIDs(labels string, replicas int) string {
	return fmt.Sprintf(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: picky, labels: %s}
spec:
  replicas: %d
  selector:
    matchLabels: {generation: old}
    matchExpressions: [{key: deploymentId, operator: DoesNotExist}]
  template:
    metadata: {labels: {generation: old, component: jobmanager}}
    spec: {containers: [{name: jobmanager, image: "flink:2.2", args: [standalone-job]}]}
`, labels, replicas)
}
