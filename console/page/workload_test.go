package page

import (
	"fmt"
	"strings"
	"testing"

	"drey.dev/drey/inventory"
)

// TestWorkloadLabels: each label that is missing or conflicting has its cause and remedy.
func TestWorkloadLabels(t *testing.T) {
	pod := func(labels map[string]string, missing ...string) inventory.Pod {
		return inventory.Pod{Labels: labels, MissingLabels: missing}
	}
	labeled := map[string]string{"vvpNamespace": "a", "deploymentId": "u1"}
	for name, test := range map[string]struct {
		workload inventory.Workload
		pods     []inventory.Pod
		want     string // key: values: problem
	}{
		"complete":                   {inventory.Workload{PlatformNamespace: "a"}, []inventory.Pod{pod(labeled), pod(labeled)}, "vvpNamespace: a=2/2: | deploymentId: u1=2/2:"},
		"missing on one":             {inventory.Workload{PlatformNamespace: "a", MissingLabels: []string{"deploymentId"}}, []inventory.Pod{pod(labeled), pod(map[string]string{"vvpNamespace": "a"}, "deploymentId")}, "vvpNamespace: a=2/2: | deploymentId: u1=1/2: 1 of 2 pods lack it: drey adds it within a minute; if"},
		"missing, misplaced":         {inventory.Workload{Misplaced: true, MissingLabels: []string{"system"}}, []inventory.Pod{pod(nil, "system")}, "system: : 1 of 1 pods lack it: drey labels pods in namespaces with a target only; register"},
		"several platform namespace": {inventory.Workload{MissingLabels: []string{"vvpNamespace"}}, []inventory.Pod{pod(nil, "vvpNamespace")}, "vvpNamespace: : 1 of 1 pods lack it: drey adds it within a minute, unless several platform namespaces have a target here"},
		"two values":                 {inventory.Workload{PlatformNamespace: "a", ConflictingLabels: []string{"vvpNamespace"}}, []inventory.Pod{pod(labeled), pod(map[string]string{"vvpNamespace": "b"}), pod(map[string]string{"vvpNamespace": "b"})}, "vvpNamespace: b=2/3 a=1/3: pods of one workload have 2 values: remove | deploymentId"},
		"id of another":              {inventory.Workload{PlatformNamespace: "a", ConflictingLabels: []string{"deploymentId"}}, []inventory.Pod{pod(labeled)}, "vvpNamespace: a=1/1: | deploymentId: u1=1/1: the value is the uid of another object: remove"},
		"values of owners":           {inventory.Workload{ConflictingLabels: []string{"deploymentName"}}, nil, "deploymentName: : its objects have different values: remove"},
	} {
		var got []string
		for _, l := range WorkloadLabels(Workload{test.workload}, test.pods) {
			var values []string
			for _, v := range l.Values {
				values = append(values, fmt.Sprintf("%s=%d/%d", v.Name, v.Count, v.Of))
			}
			if l.Missing == (l.Problem == "" || strings.Contains(l.Problem, "remove")) {
				t.Errorf("%s: %+v", name, l)
			}
			got = append(got, l.Key+": "+strings.Join(values, " ")+": "+l.Problem)
		}
		text := strings.Join(got, " | ")
		for part := range strings.SplitSeq(test.want, " | ") {
			if !strings.Contains(text, part) {
				t.Errorf("%s: got %s, want %s", name, text, test.want)
			}
		}
	}
}

// TestKubectlCommands: the commands select the pods of the workload by its id.
func TestKubectlCommands(t *testing.T) {
	for want, w := range map[string]inventory.Workload{
		"kubectl describe flinkdeployment a -n n; kubectl get pods -n n -l deploymentId=u -o wide; kubectl logs -n n -l deploymentId=u --prefix --tail 100":     {Namespace: "n", Owner: inventory.Owner{Kind: "FlinkDeployment", Name: "a"}, Kind: "Deployment", ID: "u"},
		"kubectl describe statefulset a -n n; kubectl get pods -n n -l sessionClusterId=u -o wide; kubectl logs -n n -l sessionClusterId=u --prefix --tail 100": {Namespace: "n", Owner: inventory.Owner{Kind: "StatefulSet", Name: "a"}, Kind: "SessionCluster", ID: "u"},
		"kubectl describe deployment a -n n":                          {Namespace: "n", Owner: inventory.Owner{Kind: "Deployment", Name: "a"}},
		"kubectl describe pod a -n n; kubectl logs a -n n --tail 100": {Namespace: "n", Owner: inventory.Owner{Kind: "Pod", Name: "a"}},
	} {
		var got []string
		for _, c := range (Workload{w}).KubectlCommands() {
			got = append(got, c.Text)
		}
		if text := strings.Join(got, "; "); text != want {
			t.Errorf("got %s, want %s", text, want)
		}
	}
}
