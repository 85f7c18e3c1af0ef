package flink_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"drey.dev/drey/webhook/flink"
)

func TestStatements(t *testing.T) {
	for rule, c := range map[string]struct {
		kind, object string
		want         string // path=value of each, and what lists it
		pod          string // the labels of the JobManager
	}{
		"nothing is stated":           {"FlinkDeployment", `{spec: {job: {}, flinkConfiguration: {a: b, "kubernetes.jobmanager.labels": "team:blue"}}}`, "", "team=blue"},
		"of the common template":      {"FlinkDeployment", `{spec: {podTemplate: {metadata: {labels: {vvpNamespace: a, other: x}}}}}`, "spec/podTemplate/metadata/labels/vvpNamespace=a", "other=x vvpNamespace=a"},
		"of the JobManager's":         {"FlinkDeployment", `{spec: {podTemplate: {metadata: {labels: {deploymentId: b}}}, jobManager: {podTemplate: {metadata: {labels: {deploymentId: a}}}}}}`, "spec/podTemplate/metadata/labels/deploymentId=b spec/jobManager/podTemplate/metadata/labels/deploymentId=a", "deploymentId=a"},
		"of the TaskManager's":        {"FlinkDeployment", `{spec: {taskManager: {podTemplate: {metadata: {labels: {sessionClusterId: a}}}}}}`, "spec/taskManager/podTemplate/metadata/labels/sessionClusterId=a", ""},
		"of an option":                {"FlinkDeployment", `{spec: {flinkConfiguration: {kubernetes.jobmanager.labels: "team:blue,vvpNamespace:a"}}}`, "spec/flinkConfiguration/kubernetes.jobmanager.labels=a(team:blue,vvpNamespace:a)", "team=blue vvpNamespace=a"},
		"an option over templates":    {"FlinkDeployment", `{spec: {podTemplate: {metadata: {labels: {vvpNamespace: b}}}, flinkConfiguration: {kubernetes.jobmanager.labels: "vvpNamespace:a"}}}`, "spec/podTemplate/metadata/labels/vvpNamespace=b spec/flinkConfiguration/kubernetes.jobmanager.labels=a(vvpNamespace:a)", "vvpNamespace=a"},
		"of the TaskManager's option": {"FlinkDeployment", `{spec: {flinkConfiguration: {kubernetes.taskmanager.labels: " vvpNamespace : a "}}}`, "spec/flinkConfiguration/kubernetes.taskmanager.labels=a( vvpNamespace : a )", ""},
		"of a nested option":          {"FlinkDeployment", `{spec: {flinkConfiguration: {kubernetes: {jobmanager: {labels: "vvpNamespace:a"}, cluster-id: x}}}}`, "spec/flinkConfiguration/kubernetes/jobmanager/labels=a(vvpNamespace:a)", "vvpNamespace=a"},
		"of a map":                    {"FlinkDeployment", `{spec: {flinkConfiguration: {kubernetes: {jobmanager.labels: {vvpNamespace: a, team: blue}}}}}`, "spec/flinkConfiguration/kubernetes/jobmanager.labels/vvpNamespace=a", "team=blue vvpNamespace=a"},
		"of a key of its own":         {"FlinkDeployment", `{spec: {flinkConfiguration: {kubernetes.jobmanager.labels.vvpNamespace: a}}}`, "spec/flinkConfiguration/kubernetes.jobmanager.labels.vvpNamespace=a", "vvpNamespace=a"},
		"of a map in flow style":      {"FlinkDeployment", `{spec: {flinkConfiguration: {kubernetes.jobmanager.labels: "{team: 'blue', vvpNamespace: \"a\"}"}}}`, `spec/flinkConfiguration/kubernetes.jobmanager.labels=a({team: 'blue', vvpNamespace: "a"})`, "team=blue vvpNamespace=a"},
		"of both colors":              {"FlinkBlueGreenDeployment", `{spec: {template: {spec: {podTemplate: {metadata: {labels: {vvpNamespace: a}}}, flinkConfiguration: {kubernetes.jobmanager.labels: "vvpNamespace:b"}}}}}`, "spec/template/spec/podTemplate/metadata/labels/vvpNamespace=a spec/template/spec/flinkConfiguration/kubernetes.jobmanager.labels=b(vvpNamespace:b)", "vvpNamespace=b"},
		"of spotify's":                {"FlinkCluster", `{spec: {jobManager: {podLabels: {vvpNamespace: a}}, taskManager: {podLabels: {vvpNamespace: b}}}}`, "spec/jobManager/podLabels/vvpNamespace=a spec/taskManager/podLabels/vvpNamespace=b", "vvpNamespace=a"},
		"of lyft's":                   {"FlinkApplication", `{metadata: {labels: {vvpNamespace: a}}}`, "metadata/labels/vvpNamespace=a", ""},
		"other types are skipped":     {"FlinkDeployment", `{spec: {podTemplate: [], jobManager: x, taskManager: {podTemplate: {metadata: {labels: {vvpNamespace: 1}}}}, flinkConfiguration: {kubernetes.jobmanager.labels: [a], kubernetes: null}}}`, "", ""},
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
				t.Errorf("states\n%s\nwant\n%s", got, c.want)
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

func TestWithout(t *testing.T) {
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
