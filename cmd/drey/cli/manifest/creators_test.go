package manifest_test

import (
	"slices"
	"strings"
	"testing"

	"drey.dev/drey/cmd/drey/cli/manifest"
)

// TestParseCreators: the objects that another object holds are manifests too, if a controller
// creates them.
func TestParseCreators(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"a Sensor": {`{apiVersion: argoproj.io/v1alpha1, kind: Sensor, metadata: {name: s, namespace: events}, spec: {triggers: [
			{template: {k8s: {operation: create, source: {resource: {apiVersion: flink.apache.org/v1beta1, kind: FlinkDeployment, metadata: {name: a}}}}}},
			{template: {k8s: {source: {resource: {apiVersion: v1, kind: Pod, metadata: {name: b, namespace: c}}}}}},
			{template: {http: {url: a}}}]}}`, "events/FlinkDeployment/a c/Pod/b"},
		"a Sensor that submits a Workflow": {`{apiVersion: argoproj.io/v1alpha1, kind: Sensor, metadata: {namespace: events}, spec: {triggers: [{template: {argoWorkflow: {operation: submit, source: {resource:
			{apiVersion: argoproj.io/v1alpha1, kind: Workflow, metadata: {name: w}, spec: {templates: [{resource: {action: create, manifest: "{apiVersion: v1, kind: Pod}"}}]}}}}}}]}}`, "events/Workflow/w events/Pod/"},
		"a Sensor that deletes": {`{apiVersion: argoproj.io/v1alpha1, kind: Sensor, spec: {triggers: [{template: {k8s: {operation: delete, source: {resource: {apiVersion: apps/v1, kind: Deployment}}}}}]}}`, ""},
		"a Sensor whose events set the namespace": {`{apiVersion: argoproj.io/v1alpha1, kind: Sensor, spec: {triggers: [{template: {k8s: {parameters: [{src: {dependencyName: a}, dest: metadata.namespace}],
			source: {resource: {apiVersion: v1, kind: Pod}}}}}]}}`, ""},
		"a Template": {`{apiVersion: template.openshift.io/v1, kind: Template, metadata: {namespace: openshift}, parameters: [{name: NS, value: flink}, {name: NAME, value: "a\"b"}, {name: COUNT, value: "3"}, {name: UNSET}],
			objects: [{apiVersion: v1, kind: Pod, metadata: {name: "${NAME}-${UNSET}", namespace: "${NS}"}, spec: {n: "${{COUNT}}"}}, {apiVersion: v1, kind: Pod, metadata: {name: b}}, {apiVersion: v1, kind: Pod, metadata: {namespace: "${UNSET}"}}]}`,
			`flink/Pod/a"b-${UNSET} /Pod/b`},
		"a Template of the core group":   {`{apiVersion: v1, kind: Template, objects: [{apiVersion: v1, kind: Pod, metadata: {name: a}}]}`, "/Pod/a"},
		"a Template of a list":           {`{apiVersion: template.openshift.io/v1, kind: Template, objects: [{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: Pod}]}]}`, "/Pod/"},
		"an Object of Crossplane":        {`{apiVersion: kubernetes.crossplane.io/v1alpha2, kind: Object, metadata: {name: o}, spec: {forProvider: {manifest: {apiVersion: v1, kind: Pod, metadata: {name: a, namespace: b}}}}}`, "b/Pod/a"},
		"an Object that observes":        {`{apiVersion: kubernetes.crossplane.io/v1alpha2, kind: Object, spec: {managementPolicies: [Observe], forProvider: {manifest: {apiVersion: v1, kind: Pod}}}}`, ""},
		"an Object of another group":     {`{apiVersion: example.com/v1, kind: Object, spec: {forProvider: {manifest: {apiVersion: v1, kind: Pod}}}}`, ""},
		"a ManifestWork":                 {`{apiVersion: work.open-cluster-management.io/v1, kind: ManifestWork, metadata: {name: w, namespace: cluster1}, spec: {workload: {manifests: [{apiVersion: v1, kind: Pod, metadata: {name: a}}]}}}`, "/Pod/a"},
		"a ConfigMap with a manifest":    {`{apiVersion: v1, kind: ConfigMap, data: {a.yaml: "apiVersion: v1\nkind: Pod"}}`, ""},
		"a Sensor without a resource":    {`{apiVersion: argoproj.io/v1alpha1, kind: Sensor, spec: {triggers: [{template: {k8s: {source: {git: {url: a}}}}}]}}`, ""},
		"a Template without any object":  {`{apiVersion: template.openshift.io/v1, kind: Template}`, ""},
		"a ManifestWork without objects": {`{apiVersion: work.open-cluster-management.io/v1, kind: ManifestWork, spec: {workload: {manifests: [null]}}}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			all, err := manifest.Parse("f.yaml", []byte(strings.ReplaceAll(c.text, "\t", "  ")))
			if err != nil || len(all) == 0 {
				t.Fatalf("got %v, %v", all, err)
			}
			checkCreated(t, all[1:], c.want)
		})
	}
	for text, want := range map[string]string{
		"{apiVersion: template.openshift.io/v1, kind: Template, objects: [{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: Pod}]}]}":              "objects.0.items.0",
		"{apiVersion: argoproj.io/v1alpha1, kind: Workflow, spec: {templates: [{}, {resource: {action: create, manifest: '{apiVersion: v1, kind: Pod}'}}]}}": "spec.templates.1.resource.manifest",
		"{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: Pod}]}":                                                                                 "",
	} {
		if all, err := manifest.Parse("f.yaml", []byte(text)); err != nil || all[len(all)-1].HeldAt != want {
			t.Errorf("%s: got %+v, %v, want it at %s", text, all, err, want)
		}
	}
	all, err := manifest.Parse("f.yaml", []byte("apiVersion: template.openshift.io/v1\nkind: Template\nobjects: [{apiVersion: v1, kind: Pod}]"))
	if err != nil || all[1].String() != "f.yaml, document 1, objects.0, Pod" {
		t.Errorf("got %v, %v", all, err)
	}
	for text, want := range map[string]string{
		"apiVersion: template.openshift.io/v1\nkind: Template\nobjects: 3":                              "f.yaml, document 1, Template: objects is a number",
		"apiVersion: template.openshift.io/v1\nkind: Template\nobjects: [{apiVersion: v1}]":             "f.yaml, document 1, objects.0: kind is missing",
		"apiVersion: work.open-cluster-management.io/v1\nkind: ManifestWork\nspec: {workload: [a]}":     "f.yaml, document 1, ManifestWork: spec.workload is a list",
		"apiVersion: argoproj.io/v1alpha1\nkind: Sensor\nmetadata: {name: a}\nspec: {triggers: {a: 1}}": "f.yaml, document 1, Sensor/a: spec.triggers is an object",
	} {
		if _, err := manifest.Parse("f.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}

// checkCreated checks the namespaces, kinds and names of objects that another one holds.
func checkCreated(t *testing.T, all []manifest.Manifest, want string) {
	t.Helper()
	var got []string
	for _, m := range all {
		got = append(got, m.Metadata.Namespace+"/"+m.Kind+"/"+m.Metadata.Name)
	}
	if !slices.Equal(got, strings.Fields(want)) {
		t.Errorf("got %v, want %s", got, want)
	}
}
