package flink_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"drey.dev/drey/webhook/flink"
)

// TestPodLabelFields checks the fields that set identity labels, and the labels of the
// JobManager's pod.
func TestPodLabelFields(t *testing.T) {
	for rule, c := range map[string]struct {
		kind, object string
		want         string // path=value(list) of each field
		pod          string // labels of the JobManager's pod
	}{
		"no identity label":               {"FlinkDeployment", `{spec: {job: {}, flinkConfiguration: {a: b, "kubernetes.jobmanager.labels": "team:blue"}}}`, "", "team=blue"},
		"common podTemplate":              {"FlinkDeployment", `{spec: {podTemplate: {metadata: {labels: {vvpNamespace: a, other: x}}}}}`, "spec/podTemplate/metadata/labels/vvpNamespace=a", "other=x vvpNamespace=a"},
		"JobManager's podTemplate":        {"FlinkDeployment", `{spec: {podTemplate: {metadata: {labels: {deploymentId: b}}}, jobManager: {podTemplate: {metadata: {labels: {deploymentId: a}}}}}}`, "spec/podTemplate/metadata/labels/deploymentId=b spec/jobManager/podTemplate/metadata/labels/deploymentId=a", "deploymentId=a"},
		"TaskManager's podTemplate":       {"FlinkDeployment", `{spec: {taskManager: {podTemplate: {metadata: {labels: {sessionClusterId: a}}}}}}`, "spec/taskManager/podTemplate/metadata/labels/sessionClusterId=a", ""},
		"option":                          {"FlinkDeployment", `{spec: {flinkConfiguration: {kubernetes.jobmanager.labels: "team:blue,vvpNamespace:a"}}}`, "spec/flinkConfiguration/kubernetes.jobmanager.labels=a(team:blue,vvpNamespace:a)", "team=blue vvpNamespace=a"},
		"option overrides podTemplate":    {"FlinkDeployment", `{spec: {podTemplate: {metadata: {labels: {vvpNamespace: b}}}, flinkConfiguration: {kubernetes.jobmanager.labels: "vvpNamespace:a"}}}`, "spec/podTemplate/metadata/labels/vvpNamespace=b spec/flinkConfiguration/kubernetes.jobmanager.labels=a(vvpNamespace:a)", "vvpNamespace=a"},
		"TaskManager's option":            {"FlinkDeployment", `{spec: {flinkConfiguration: {kubernetes.taskmanager.labels: " vvpNamespace : a "}}}`, "spec/flinkConfiguration/kubernetes.taskmanager.labels=a( vvpNamespace : a )", ""},
		"nested option":                   {"FlinkDeployment", `{spec: {flinkConfiguration: {kubernetes: {jobmanager: {labels: "vvpNamespace:a"}, cluster-id: x}}}}`, "spec/flinkConfiguration/kubernetes/jobmanager/labels=a(vvpNamespace:a)", "vvpNamespace=a"},
		"option as a map":                 {"FlinkDeployment", `{spec: {flinkConfiguration: {kubernetes: {jobmanager.labels: {vvpNamespace: a, team: blue}}}}}`, "spec/flinkConfiguration/kubernetes/jobmanager.labels/vvpNamespace=a", "team=blue vvpNamespace=a"},
		"option with the key in its name": {"FlinkDeployment", `{spec: {flinkConfiguration: {kubernetes.jobmanager.labels.vvpNamespace: a}}}`, "spec/flinkConfiguration/kubernetes.jobmanager.labels.vvpNamespace=a", "vvpNamespace=a"},
		"option in flow style":            {"FlinkDeployment", `{spec: {flinkConfiguration: {kubernetes.jobmanager.labels: "{team: 'blue', vvpNamespace: \"a\"}"}}}`, `spec/flinkConfiguration/kubernetes.jobmanager.labels=a({team: 'blue', vvpNamespace: "a"})`, "team=blue vvpNamespace=a"},
		"FlinkBlueGreenDeployment":        {"FlinkBlueGreenDeployment", `{spec: {template: {spec: {podTemplate: {metadata: {labels: {vvpNamespace: a}}}, flinkConfiguration: {kubernetes.jobmanager.labels: "vvpNamespace:b"}}}}}`, "spec/template/spec/podTemplate/metadata/labels/vvpNamespace=a spec/template/spec/flinkConfiguration/kubernetes.jobmanager.labels=b(vvpNamespace:b)", "vvpNamespace=b"},
		"FlinkCluster":                    {"FlinkCluster", `{spec: {jobManager: {podLabels: {vvpNamespace: a}}, taskManager: {podLabels: {vvpNamespace: b}}}}`, "spec/jobManager/podLabels/vvpNamespace=a spec/taskManager/podLabels/vvpNamespace=b", "vvpNamespace=a"},
		"FlinkApplication":                {"FlinkApplication", `{metadata: {labels: {vvpNamespace: a}}}`, "metadata/labels/vvpNamespace=a", ""},
		"other types":                     {"FlinkDeployment", `{spec: {podTemplate: [], jobManager: x, taskManager: {podTemplate: {metadata: {labels: {vvpNamespace: 1}}}}, flinkConfiguration: {kubernetes.jobmanager.labels: [a], kubernetes: null}}}`, "", ""},
	} {
		t.Run(rule, func(t *testing.T) {
			var object map[string]any
			if err := yaml.Unmarshal([]byte(c.object), &object); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range flink.PodLabelFields(c.kind, object) {
				text := strings.Join(s.Path, "/")
				text = strings.TrimSuffix(text, "="+s.Key) + "=" + s.Value
				if s.List != "" {
					text += "(" + s.List + ")"
				}
				got = append(got, text)
			}
			if got := strings.Join(got, " "); got != c.want {
				t.Errorf("fields\n%s\nwant\n%s", got, c.want)
			}
			var labels []string
			for key, value := range flink.JobManagerPod(c.kind, object).Labels {
				labels = append(labels, key+"="+value)
			}
			slices.Sort(labels)
			if got := fmt.Sprint(strings.Join(labels, " ")); got != c.pod {
				t.Errorf("the JobManager's labels are %q, want %q", got, c.pod)
			}
		})
	}
}

func TestRemoveFromList(t *testing.T) {
	for list, want := range map[string]string{
		"vvpNamespace:a":                               "",
		"team:blue,vvpNamespace:a,x:y":                 "team:blue,x:y",
		" team : blue , vvpNamespace : a ":             "team : blue",
		"vvpNamespaces:a":                              "vvpNamespaces:a",
		"{team: blue, vvpNamespace: a}":                "{team: blue}",
		`{"vvpNamespace": "a"}`:                        "",
		"team: blue\nvvpNamespace: a\ndeploymentId: x": "team: blue,deploymentId: x",
	} {
		if got := flink.RemoveFromList(list, []string{"vvpNamespace"}); got != want {
			t.Errorf("%q without vvpNamespace is %q, want %q", list, got, want)
		}
	}
}
