package manifest_test

import (
	"strings"
	"testing"

	"drey.dev/drey/cmd/drey/cli/manifest"
)

const workflow = `apiVersion: argoproj.io/v1alpha1
kind: KIND
metadata: {name: nightly, namespace: batch}
spec:
  SPEC
`

// TestParseWorkflow: the objects that steps of a workflow create are manifests too.
func TestParseWorkflow(t *testing.T) {
	for name, c := range map[string]struct{ kind, spec, want string }{
		"a step": {"Workflow", `templates: [{name: run, resource: {action: create, manifest: "apiVersion: flink.apache.org/v1beta1\nkind: FlinkDeployment\nmetadata: {name: a}"}}]`, "batch/FlinkDeployment/a"},
		"several objects": {"WorkflowTemplate", `templates: [{resource: {action: apply, manifest: "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: b}\n---\n{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: Pod}]}"}}]`,
			"b/Pod/a batch/Pod/"},
		"a CronWorkflow": {"CronWorkflow", `workflowSpec: {templates: [{resource: {action: replace, manifest: "apiVersion: v1\nkind: Pod"}}]}`, "batch/Pod/"},
		"parameters": {"ClusterWorkflowTemplate", `arguments: {parameters: [{name: ns, value: flink}, {name: number, value: 3}]}
  templates: [{resource: {action: create, manifest: "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {{workflow.name}}-{{=sprig.date('a: b')}}-{{workflow.parameters.number}}\n  namespace: {{ workflow.parameters.ns }}\nspec: {{inputs.parameters.spec}}"}}]`,
			"flink/Pod/nightly-<expression>-3"},
		"a parameter of lines": {"Workflow", `arguments: {parameters: [{name: meta, value: "name: \"a\"\n  namespace: b"}]}
  templates: [{resource: {action: create, manifest: "apiVersion: v1\nkind: Pod\nmetadata:\n  {{workflow.parameters.meta}}"}}]`, "b/Pod/a"},
		"a namespace that the step gets": {"Workflow", `templates: [{resource: {action: create, manifest: "apiVersion: v1\nkind: Pod\nmetadata: {namespace: '{{inputs.parameters.ns}}'}"}}]`, ""},
		"deletes":                        {"Workflow", `templates: [{resource: {action: delete, manifest: "apiVersion: v1\nkind: Pod"}}, {resource: {action: get, flags: [pod, a]}}]`, ""},
		"no YAML, no Flink":              {"Workflow", `templates: [{resource: {action: create, manifest: "a: b: c"}}]`, ""},
		"of the wrong type":              {"Workflow", `templates: 3`, ""},
		"of another kind":                {"Sensor", `templates: [{resource: {action: create, manifest: "apiVersion: v1\nkind: Pod"}}]`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			all, err := manifest.Parse("f.yaml", []byte(strings.NewReplacer("KIND", c.kind, "SPEC", c.spec).Replace(workflow)))
			if err != nil || len(all) == 0 || all[0].Kind != c.kind {
				t.Fatalf("got %v, %v", all, err)
			}
			checkCreated(t, all[1:], c.want)
		})
	}
	_, err := manifest.Parse("f.yaml", []byte(strings.NewReplacer("KIND", "Workflow", "SPEC", `templates: [{name: run, resource: {action: create, manifest: "kind: FlinkDeployment: b"}}]`).Replace(workflow)))
	if err == nil || !strings.Contains(err.Error(), "f.yaml, document 1, Workflow/nightly, template run: spec.templates.resource.manifest: ") {
		t.Errorf("got %v", err)
	}
}
