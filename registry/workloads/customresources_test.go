package workloads

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

func TestBelongs(t *testing.T) {
	for name, c := range map[string]struct {
		object string
		want   bool
	}{
		"nothing is stated":                    {`{spec: {job: {state: suspended}}}`, true},
		"label of another":                     {`{metadata: {labels: {vvpNamespace: team-b}}}`, false},
		"pod template":                         {`{spec: {podTemplate: {metadata: {labels: {vvpNamespace: team-a}}}}}`, true},
		"pod template of another":              {`{spec: {podTemplate: {metadata: {labels: {vvpNamespace: team-b}}}}}`, false},
		"pod template against the label":       {`{metadata: {labels: {vvpNamespace: team-b}}, spec: {podTemplate: {metadata: {labels: {vvpNamespace: team-a}}}}}`, true},
		"pod template of the JobManager":       {`{spec: {jobManager: {podTemplate: {metadata: {labels: {vvpNamespace: team-a}}}}, podTemplate: {metadata: {labels: {vvpNamespace: team-b}}}}}`, true},
		"pod template of the TaskManagers":     {`{spec: {taskManager: {podTemplate: {metadata: {labels: {vvpNamespace: team-b}}}}}}`, false},
		"pod template of a blue/green":         {`{spec: {template: {spec: {podTemplate: {metadata: {labels: {vvpNamespace: team-a}}}}}}}`, true},
		"pod template of another's blue/green": {`{spec: {template: {spec: {podTemplate: {metadata: {labels: {vvpNamespace: team-b}}}}}}}`, false},
		"a pod template that is none":          {`{spec: {podTemplate: [1], jobManager: "x"}}`, true},
	} {
		t.Run(name, func(t *testing.T) {
			var o unstructured.Unstructured
			if err := yaml.Unmarshal([]byte(c.object), &o.Object); err != nil {
				t.Fatal(err)
			}
			if got := belongs(&o, "team-a"); got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
}
