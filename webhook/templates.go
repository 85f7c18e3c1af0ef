package webhook

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"drey.dev/drey/webhook/flink"
)

// template is a pod template of an object, and its path.
type template struct {
	text jsontext.Value
	path []string
}

// templatePaths are the paths of pod templates, in order of preference: of a workload, of a
// CronJob, and of a PodTemplate.
var templatePaths = [][]string{{"spec", "template"}, {"spec", "jobTemplate", "spec", "template"}, {"template"}}

// podTemplates returns the pod templates of an object of any kind: at one of templatePaths, else
// at any path, as of sets of Jobs. A template has containers.
func podTemplates(apiVersion, kind string, object []byte) []template {
	for _, path := range templatePaths {
		if text := field(object, path...); hasContainers(text) {
			return []template{{text, path}}
		}
	}
	if kind == "ControllerRevision" { // the history of a workload
		return nil
	}
	return nestedTemplates(nil, object, nil, strings.HasPrefix(apiVersion, "argoproj.io/"))
}

// maxTemplateDepth bounds the search for templates, which reads each level again.
const maxTemplateDepth = 12

// nestedTemplates appends the templates below a value. With workflow, a step of Argo Workflows is
// one too.
func nestedTemplates(all []template, value jsontext.Value, path []string, workflow bool) []template {
	if len(path) > maxTemplateDepth {
		return all
	}
	if len(path) > 0 && hasContainers(value) {
		return append(all, template{value, path})
	}
	var fields map[string]jsontext.Value
	var elements []jsontext.Value
	switch value.Kind() {
	case '{':
		if jsonv2.Unmarshal(value, &fields, decodeOptions) != nil {
			return all
		}
	case '[':
		if jsonv2.Unmarshal(value, &elements, decodeOptions) != nil {
			return all
		}
	}
	if step, ok := workflowStep(fields); workflow && ok {
		all = append(all, template{step, path})
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if len(path) == 0 && (name == "metadata" || name == "status") {
			continue
		}
		all = nestedTemplates(all, fields[name], slices.Concat(path, []string{name}), workflow)
	}
	for i, e := range elements {
		all = nestedTemplates(all, e, slices.Concat(path, []string{strconv.Itoa(i)}), workflow)
	}
	return all
}

// workflowStep returns the pod template of a step of Argo Workflows, which has a container, a
// script or a set of containers, and sidecars. The text of a script is a file of the container.
func workflowStep(fields map[string]jsontext.Value) (step jsontext.Value, ok bool) {
	containers := []jsontext.Value{fields["container"], fields["script"]}
	for _, list := range []jsontext.Value{field(fields["containerSet"], "containers"), fields["sidecars"]} {
		var some []jsontext.Value
		if list.Kind() == '[' && jsonv2.Unmarshal(list, &some, decodeOptions) == nil {
			containers = append(containers, some...)
		}
	}
	var all []string
	for _, c := range containers {
		if c.Kind() == '{' {
			all = append(all, string(c))
		}
	}
	if len(all) == 0 {
		return nil, false
	}
	text := `{"spec":{"containers":[` + strings.Join(all, ",") + `]}}`
	if metadata := fields["metadata"]; metadata.Kind() == '{' {
		text = `{"metadata":` + string(metadata) + `,` + text[1:]
	}
	return jsontext.Value(text), true
}

func hasContainers(template jsontext.Value) bool {
	var containers []map[string]jsontext.Value
	return jsonv2.Unmarshal(field(template, "spec", "containers"), &containers, decodeOptions) == nil && len(containers) > 0
}

// field returns a field of an object, nil if it is absent.
func field(v jsontext.Value, path ...string) jsontext.Value {
	for _, name := range path {
		var fields map[string]jsontext.Value
		if jsonv2.Unmarshal(v, &fields, decodeOptions) != nil {
			return nil
		}
		v = fields[name]
	}
	return v
}

// recognizeTemplate recognizes the pods of an object's template, which have the template's
// labels and not the object's.
func recognizeTemplate(kind, namespace string, object []byte, t template) (flink.Workload, error) {
	var o labeled
	if err := jsonv2.Unmarshal(object, &o, decodeOptions); err != nil {
		return flink.Workload{}, err
	}
	var p pod
	if err := jsonv2.Unmarshal(t.text, &p, decodeOptions); err != nil {
		return flink.Workload{}, below(t.path, err)
	}
	f := o.Metadata.object(kind, namespace)
	f.OwnerReferences = nil // the owners of the pods are not in the object
	f.Pod, f.TemplatePath = p.template(), t.path
	f.Labels, f.Annotations = f.Pod.Labels, f.Pod.Annotations
	return flink.Recognize(&f), nil
}

// below prefixes the path of an error with that of the part of the object.
func below(path []string, err error) error {
	semantic, ok := errors.AsType[*jsonv2.SemanticError](err)
	if !ok {
		return err
	}
	var pointer jsontext.Pointer
	for _, name := range path {
		pointer = pointer.AppendToken(name)
	}
	semantic.JSONPointer = pointer + semantic.JSONPointer
	return semantic
}
