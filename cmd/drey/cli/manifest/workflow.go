package manifest

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Steps of Argo Workflows may create objects, whose manifests are texts with parameters, such as
// {{workflow.parameters.image}}.

// workflowSpec is the part of a workflow that creates objects.
type workflowSpec struct {
	Arguments struct {
		Parameters []struct {
			Name  string         `json:"name"`
			Value jsontext.Value `json:"value"` // text or a number
		} `json:"parameters"`
	} `json:"arguments"`
	Templates []struct {
		Name     string `json:"name"`
		Resource struct {
			Action   string `json:"action"`
			Manifest string `json:"manifest"`
		} `json:"resource"`
	} `json:"templates"`
}

// created returns the objects that the steps of a workflow create, none for another object. They
// are in the namespace of the workflow if they name none. Without a value of the parameter that
// is its namespace, an object is left out.
func (m Manifest) created() ([]Manifest, error) {
	var w struct {
		Spec struct {
			workflowSpec
			WorkflowSpec workflowSpec `json:"workflowSpec"` // of a CronWorkflow
		} `json:"spec"`
	}
	switch m.Kind {
	case "Workflow", "WorkflowTemplate", "ClusterWorkflowTemplate", "CronWorkflow":
	default:
		return nil, nil
	}
	if !strings.HasPrefix(m.APIVersion, "argoproj.io/") || jsonv2.Unmarshal(m.Text, &w, asTheAPIServer) != nil {
		return nil, nil
	}
	spec, path := w.Spec.workflowSpec, "spec.templates"
	if m.Kind == "CronWorkflow" {
		spec, path = w.Spec.WorkflowSpec, "spec.workflowSpec.templates"
	}
	values := map[string]string{"workflow.namespace": m.Metadata.Namespace, "workflow.name": m.Metadata.Name}
	for _, p := range spec.Arguments.Parameters {
		values["workflow.parameters."+p.Name] = textOf(p.Value)
	}
	var all []Manifest
	for i, t := range spec.Templates {
		switch t.Resource.Action {
		case "create", "apply", "replace":
		default:
			continue
		}
		found, err := Parse(m.File, []byte(resolve(t.Resource.Manifest, values)))
		if err != nil && strings.Contains(strings.ToLower(t.Resource.Manifest), "flink") {
			return nil, fmt.Errorf("%s, template %s: spec.templates.resource.manifest: %w", m, Printable(t.Name), err)
		}
		for _, one := range found {
			if !strings.Contains(one.Metadata.Namespace, unresolved) {
				one.At = fmt.Sprintf("%s, template %s, %s", m.At, Printable(t.Name), one.At)
				one.HeldAt = below(below(m.HeldAt, fmt.Sprintf("%s.%d.resource.manifest", path, i)), one.HeldAt)
				one.Metadata.Namespace = cmp.Or(one.Metadata.Namespace, m.Metadata.Namespace)
				all = append(all, one)
			}
		}
	}
	return all, nil
}

// textOf returns the string of a JSON string, and the text of another value.
func textOf(v jsontext.Value) string {
	if v.Kind() != '"' {
		return string(v)
	}
	text, _ := jsontext.AppendUnquote(nil, v) // valid, as decoded
	return string(text)
}

var parameters = regexp.MustCompile(`\{\{[^{}]*\}\}`)

// unresolved begins the text for a parameter without a value. No name contains it.
const unresolved = "<"

// resolve replaces the parameters in a text by their values.
func resolve(text string, values map[string]string) string {
	return parameters.ReplaceAllStringFunc(text, func(parameter string) string {
		name := strings.TrimSpace(parameter[2 : len(parameter)-2])
		switch value := values[name]; {
		case value != "":
			return value
		case strings.ContainsAny(name, " :#=,'\"\\[]\n"):
			return unresolved + "expression>" // which could break the YAML
		}
		return unresolved + name + ">"
	})
}
