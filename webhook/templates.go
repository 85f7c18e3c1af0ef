package webhook

import (
	"errors"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"drey.dev/drey/webhook/flink"
)

// templatePaths are the fields that hold a pod template, in the order of preference:
// of a workload, of what makes Jobs, and of a core PodTemplate.
var templatePaths = [][]string{{"spec", "template"}, {"spec", "jobTemplate", "spec", "template"}, {"template"}}

// podTemplate finds the pod template of an object of any kind, and its path. A
// template that lists no container is none.
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

// recognizeTemplate looks at an object that no webhook is sent as at the pods that
// its template describes: they get the template's labels, and not the object's.
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
	f.OwnerReferences = nil // those of the pods are the object, and what only the cluster knows
	f.Pod = p.template()
	f.Labels, f.Annotations = f.Pod.Labels, f.Pod.Annotations
	return flink.Recognize(&f), nil
}

// below gives an error of a part of an object the path of the part.
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
