package verdict_test

import (
	"strings"
	"testing"

	"drey.dev/drey/webhook/flink"
	"drey.dev/drey/webhook/verdict"
)

// TestRemedyIsShellSafe has labels, names and options that a shell would run if they stood
// in the command as they are.
func TestRemedyIsShellSafe(t *testing.T) {
	const wrong = "team-z"
	stated := func(kind string, configuration map[string]any) []flink.LabelField {
		return flink.PodLabelFields(kind, map[string]any{"spec": map[string]any{"flinkConfiguration": configuration}})
	}
	pod := flink.Object{Kind: "Pod", Namespace: "flink", Name: "p", Labels: map[string]string{"vvpNamespace": wrong}}
	native := flink.Object{Kind: "Deployment", Namespace: "flink", Name: "d", Labels: map[string]string{"vvpNamespace": wrong, "team": "blue", "evil": "$(reboot)", "$(reboot)": "x", "app": "d", "component": "jobmanager", "type": "flink-native-kubernetes"}}
	for rule, c := range map[string]struct {
		object    flink.Object
		relatives []flink.Owner
		want      string
	}{
		"an option with quotes": {pod, []flink.Owner{{APIVersion: "flink.apache.org/v1beta1", Kind: "FlinkDeployment", Name: "f", UID: "u",
			PodLabelFields: stated("FlinkDeployment", map[string]any{"kubernetes.jobmanager.labels": "a:'; reboot #,vvpNamespace:team-z"})}},
			`kubectl patch flinkdeployment f -n flink --type merge -p '{"spec":{"flinkConfiguration":{"kubernetes.jobmanager.labels":"a:\u0027; reboot #"}}}' ;`},
		"a name": {pod, []flink.Owner{{APIVersion: "apps/v1", Kind: "DaemonSet", Name: "$(reboot)", UID: "u"}},
			`kubectl patch daemonset NAME -n flink --type merge -p '{"spec":{"template":{"metadata":{"labels":{"vvpNamespace":null}}}}}' ;`},
		"a kind": {pod, []flink.Owner{{APIVersion: "$(reboot)/v1", Kind: "a;b", Name: "a", UID: "u", Unresolved: true}}, "kubectl edit KIND.GROUP a -n flink ;"},
		"of the core": {pod, []flink.Owner{{APIVersion: "v1", Kind: "ReplicationController", Name: "a", UID: "u", Unresolved: true}},
			`kubectl patch replicationcontroller a -n flink --type merge -p '{"spec":{"template":{"metadata":{"labels":{"vvpNamespace":null}}}}}' ;`},
		"labels of a Deployment of Flink's client": {native, nil, "-Dkubernetes.jobmanager.labels=team:blue , and kubernetes.taskmanager.labels likewise ;"},
	} {
		t.Run(rule, func(t *testing.T) {
			o := c.object
			o.Pod.Labels = o.Labels
			w := flink.Workload{Object: &o, Strength: flink.Strong, Signals: flink.TypeLabel, Flavor: flink.Native}.WithOwners(c.relatives, true)
			v := decide(t, w, "team-a/x")
			if got := v.Message(verdict.RegisterHint{}); v.Reason != verdict.LabelConflict || !strings.Contains(got, c.want) {
				t.Errorf("%s\ngot  %s\nwant %s", v.Reason, got, c.want)
			}
		})
	}
}
