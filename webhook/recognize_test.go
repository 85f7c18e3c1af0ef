package webhook_test

import (
	"errors"
	"fmt"
	"testing"

	jsonv2 "github.com/go-json-experiment/json"

	"drey.dev/drey/webhook"
)

const webTemplate = `{"spec": {"containers": [{"name": "web", "image": "nginx"}]}}`

const jobManagerTemplate = `{"metadata": {"labels": {"app": "nuts", "component": "jobmanager"}}, "spec": {"containers": [{"name": "jobmanager", "image": "flink:2.2", "args": ["jobmanager"]}]}}`

// TestRecognizeEveryPodTemplate: objects of any kind with a pod template are recognized.
func TestRecognizeEveryPodTemplate(t *testing.T) {
	const (
		none     = "no workload"
		flinks   = "Flink"
		notFlink = "not Flink"
	)
	template := `"spec": {"template": ` + jobManagerTemplate + `}`
	jobTemplate := `"spec": {"jobTemplate": {"spec": {"template": ` + jobManagerTemplate + `}}}`
	for name, c := range map[string]struct {
		apiVersion, kind, fields, want string
	}{
		"a Deployment":                      {"apps/v1", "Deployment", template, flinks},
		"a DaemonSet":                       {"apps/v1", "DaemonSet", template, flinks},
		"a ReplicaSet":                      {"apps/v1", "ReplicaSet", template, flinks},
		"a ReplicationController":           {"v1", "ReplicationController", template, flinks},
		"a Rollout":                         {"argoproj.io/v1alpha1", "Rollout", template, flinks},
		"a Rollout by reference":            {"argoproj.io/v1alpha1", "Rollout", `"spec": {"workloadRef": {"kind": "Deployment", "name": "a"}}`, none},
		"a Rollout of another group":        {"example.com/v1", "Rollout", template, flinks},
		"a CronJob":                         {"batch/v1", "CronJob", jobTemplate, flinks},
		"a custom resource that makes pods": {"example.com/v1", "Fleet", template, flinks},
		"a custom resource that makes Jobs": {"example.com/v1", "Nightly", jobTemplate, flinks},
		"a set of Jobs":                     {"example.com/v1", "JobSet", `"spec": {"jobs": [{"template": {"spec": {"template": ` + webTemplate + `}}}, {"template": {"spec": {"template": ` + jobManagerTemplate + `}}}]}`, flinks},
		"a leader and workers":              {"example.com/v1", "Group", `"spec": {"leader": ` + jobManagerTemplate + `, "worker": ` + webTemplate + `}`, flinks},
		"a list of templates":               {"example.com/v1", "Group", `"spec": {"tasks": [{"template": ` + jobManagerTemplate + `}]}`, flinks},
		"objects in an object":              {"template.openshift.io/v1", "Template", `"objects": [{"apiVersion": "apps/v1", "kind": "Deployment", ` + template + `}]`, flinks},
		"a step of a workflow":              {"argoproj.io/v1alpha1", "Workflow", `"spec": {"templates": [{"metadata": {"labels": {"component": "jobmanager"}}, "container": {"image": "flink:2.2", "args": ["standalone-job"]}}]}`, flinks},
		"a step that submits":               {"argoproj.io/v1alpha1", "Workflow", `"spec": {"templates": [{"container": {"image": "flink:2.2", "args": ["flink", "run", "/x.jar"]}}]}`, notFlink},
		"a sidecar of a step":               {"argoproj.io/v1alpha1", "Workflow", `"spec": {"templates": [{"container": {"image": "curl"}, "sidecars": [{"name": "jm", "image": "flink:2.2", "args": ["jobmanager"]}]}]}`, flinks},
		"a step of containers":              {"argoproj.io/v1alpha1", "WorkflowTemplate", `"spec": {"templates": [{"containerSet": {"containers": [{"name": "a"}, {"name": "jm", "command": ["taskmanager.sh", "start"]}]}}]}`, flinks},
		"a script of a step":                {"argoproj.io/v1alpha1", "CronWorkflow", `"spec": {"workflowSpec": {"templates": [{"script": {"image": "flink:2.2", "command": ["bash"], "source": "flink run /x.jar"}}]}}`, notFlink},
		"a step that is none":               {"argoproj.io/v1alpha1", "Workflow", `"spec": {"templates": [{"container": 3, "sidecars": {}, "containerSet": []}]}`, none},
		"a container of another group":      {"example.com/v1", "Build", `"spec": {"container": {"image": "flink:2.2", "args": ["standalone-job"]}}`, none},
		"templates of other products":       {"example.com/v1", "Group", `"spec": {"a": ` + webTemplate + `, "b": ` + webTemplate + `}`, notFlink},
		"the history of a workload":         {"apps/v1", "ControllerRevision", `"data": {` + template + `}`, none},
		"a status":                          {"example.com/v1", "Group", `"status": {"a": ` + jobManagerTemplate + `}`, none},
		"a Service of Knative":              {"serving.knative.dev/v1", "Service", template, flinks},
		"a PodTemplate":                     {"v1", "PodTemplate", `"template": ` + jobManagerTemplate, flinks},
		"a removed version":                 {"extensions/v1beta1", "Deployment", template, flinks},
		"a Deployment without a template":   {"apps/v1", "Deployment", `"spec": {}`, notFlink},
		"a template of another product":     {"example.com/v1", "Fleet", `"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "nginx"}]}}}`, notFlink},
		"labels of the object alone":        {"example.com/v1", "Fleet", `"metadata": {"labels": {"type": "flink-native-kubernetes"}}, "spec": {"template": {"spec": {"containers": [{"name": "web"}]}}}`, notFlink},
		"a template that is a text":         {"example.com/v1", "Mail", `"spec": {"template": "Dear {{name}}", "jobTemplate": 1}`, none},
		"a template of something else":      {"example.com/v1", "Set", `"spec": {"template": {"spec": {"source": {}}}}`, none},
		"containers that are none":          {"example.com/v1", "Port", `"spec": {"template": {"spec": {"containers": ["MSKU1234567"]}}}`, none},
		"containers that are a number":      {"example.com/v1", "Port", `"spec": {"template": {"spec": {"containers": 3}}}`, none},
		"no container":                      {"example.com/v1", "Fleet", `"spec": {"template": {"spec": {"containers": []}}}`, none},
		"no spec":                           {"example.com/v1", "Fleet", `"spec": null`, none},
		"a Pod of another group":            {"example.com/v1", "Pod", `"spec": {"containers": [{"name": "flink-main-container"}]}`, none},
		"a Secret":                          {"v1", "Secret", `"data": {}`, none},
	} {
		t.Run(name, func(t *testing.T) {
			object := fmt.Sprintf(`{"apiVersion": %q, "kind": %q, %s}`, c.apiVersion, c.kind, c.fields)
			w, ok, err := webhook.Recognize(c.apiVersion, c.kind, "flink", []byte(object))
			if err != nil {
				t.Fatal(err)
			}
			got := none
			if ok {
				got = map[bool]string{true: flinks, false: notFlink}[w.Recognized()]
			}
			if got != c.want {
				t.Fatalf("got %s, want %s", got, c.want)
			}
			if ok && (w.Object.Kind != c.kind || w.Object.Namespace != "flink") {
				t.Errorf("recognized as %s in %s", w.Object.Kind, w.Object.Namespace)
			}
		})
	}
}

// TestRecognizeInvalidField: the error has the path of the field.
func TestRecognizeInvalidField(t *testing.T) {
	for _, c := range []struct{ apiVersion, kind, fields, want string }{
		{"apps/v1", "Deployment", `"spec": {"template": {"metadata": {"labels": {"version": 1.2}}}}`, "/spec/template/metadata/labels/version"},
		{"example.com/v1", "Fleet", `"metadata": {"labels": {"a.b/c": true}}, "spec": {"template": {"spec": {"containers": [{"name": "a"}]}}}`, "/metadata/labels/a.b~1c"},
		{"example.com/v1", "Fleet", `"spec": {"template": {"spec": {"containers": [{"name": "a", "args": ["b", 8081]}]}}}`, "/spec/template/spec/containers/0/args/1"},
		{"apps/v1", "Deployment", `"spec": {"template": {"spec": {"containers": [{"name": "a", "env": [{"name": "FLINK_MODE", "value": 1}]}]}}}`, "/spec/template/spec/containers/0/env/0/value"},
		{"example.com/v1", "Fleet", `"spec": {"template": {"spec": {"containers": [{"name": "a", "env": [{"name": "FLINK_MODE", "value": 1}]}]}}}`, "/spec/template/spec/containers/0/env/0/value"},
		{"example.com/v1", "Nightly", `"spec": {"jobTemplate": {"spec": {"template": {"spec": {"containers": [{"name": 1}]}}}}}`, "/spec/jobTemplate/spec/template/spec/containers/0/name"},
	} {
		object := fmt.Sprintf(`{"apiVersion": %q, "kind": %q, %s}`, c.apiVersion, c.kind, c.fields)
		_, ok, err := webhook.Recognize(c.apiVersion, c.kind, "flink", []byte(object))
		semantic, is := errors.AsType[*jsonv2.SemanticError](err)
		if ok || !is || string(semantic.JSONPointer) != c.want {
			t.Errorf("%s: %t, %v, want an error at %s", object, ok, err, c.want)
		}
	}
}
