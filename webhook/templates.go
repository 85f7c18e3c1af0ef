package webhook

import (
	"errors"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"drey.dev/drey/webhook/flink"
)

// templatePaths are the paths of pod templates, in order of preference: of a workload, of a
// CronJob, and of a PodTemplate.
var templatePaths = [][]string{{"spec", "template"}, {"spec", "jobTemplate", "spec", "template"}, {"template"}}

// podTemplate returns the pod template of an object of any kind, and its path. A template has
// containers.
func podTemplate(object []byte) (template jsontext.Value, path []string) {
	for _, path := range templatePaths {
		template := field(object, path...)
		var containers []map[string]jsontext.Value
		if jsonv2.Unmarshal(field(template, "spec", "containers"), &containers, decodeOptions) == nil && len(containers) > 0 {
			return template, path
		}
	}
	return nil, nil
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
func recognizeTemplate(kind, namespace string, object []byte, template jsontext.Value, path []string) (flink.Workload, error) {
	var o labeled
	if err := jsonv2.Unmarshal(object, &o, decodeOptions); err != nil {
		return flink.Workload{}, err
	}
	var p pod
	if err := jsonv2.Unmarshal(template, &p, decodeOptions); err != nil {
		return flink.Workload{}, below(path, err)
	}
	f := o.Metadata.object(kind, namespace)
	f.OwnerReferences = nil // the owners of the pods are not in the object
	f.Pod = p.template()
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
