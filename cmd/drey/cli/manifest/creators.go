package manifest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// creatorKind is a kind of objects that hold others, which a controller or a client creates.
type creatorKind struct{ group, kind string }

// held is an object in a field of another one, and its namespace if it states none. Without both
// it is in the default namespace.
type held struct {
	path      string
	namespace string
	text      jsontext.Value
}

// creators return the objects that the objects of a kind hold. Texts, such as those in a
// ConfigMap, do not count: nothing says that they are manifests, and of which namespace.
var creators = map[creatorKind]func(Manifest) ([]held, error){
	{"argoproj.io", "Sensor"}:                           sensor,
	{"kubernetes.crossplane.io", "Object"}:              crossplaneObject,
	{"kubernetes.m.crossplane.io", "Object"}:            crossplaneObject,
	{"template.openshift.io", "Template"}:               openShiftTemplate,
	{"", "Template"}:                                    openShiftTemplate, // of OpenShift before 3.6, which oc still reads
	{"work.open-cluster-management.io", "ManifestWork"}: manifestWork,
}

// group returns the API group, empty for the core group.
func (m Manifest) group() string {
	group, _, ok := strings.Cut(m.APIVersion, "/")
	if !ok {
		return ""
	}
	return group
}

// appendCreated appends the header of the object and the objects that it holds.
func (m Manifest) appendCreated(all []Manifest, create func(Manifest) ([]held, error)) ([]Manifest, error) {
	objects, err := create(m)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m, FieldError(err))
	}
	header := m
	if header.Text, err = json.Marshal(map[string]any{"apiVersion": m.APIVersion, "kind": m.Kind, "metadata": map[string]string{"name": m.Metadata.Name, "namespace": m.Metadata.Namespace}}); err != nil {
		return nil, err
	}
	all = append(all, header)
	for _, o := range objects {
		if o.text.Kind() != '{' {
			continue
		}
		first := len(all)
		if all, err = (Manifest{File: m.File, At: m.At + ", " + o.path, Text: o.text, HeldAt: below(m.HeldAt, o.path)}).appendTo(all, "", ""); err != nil {
			return nil, err
		}
		for i := range all[first:] {
			namespace := &all[first+i].Metadata.Namespace
			*namespace = cmp.Or(*namespace, o.namespace)
		}
	}
	return all, nil
}

// below returns the path of a field of the object at a path.
func below(path, field string) string { return strings.Trim(path+"."+field, ".") }

// sensor returns the objects that the triggers of a Sensor of Argo Events create, unless an event
// sets their namespace.
func sensor(m Manifest) (all []held, err error) {
	type trigger struct {
		Operation  string `json:"operation"`
		Parameters []struct {
			Dest string `json:"dest"`
		} `json:"parameters"`
		Source struct {
			Resource jsontext.Value `json:"resource"`
		} `json:"source"`
	}
	var o struct {
		Spec struct {
			Triggers []struct {
				Template struct {
					K8s          trigger `json:"k8s"`
					ArgoWorkflow trigger `json:"argoWorkflow"`
				} `json:"template"`
			} `json:"triggers"`
		} `json:"spec"`
	}
	if err := jsonv2.Unmarshal(m.Text, &o, asTheAPIServer); err != nil {
		return nil, err
	}
	for i, t := range o.Spec.Triggers {
		for _, s := range []struct {
			name       string
			trigger    trigger
			operations []string
		}{
			{"k8s", t.Template.K8s, []string{"", "create", "update"}},
			{"argoWorkflow", t.Template.ArgoWorkflow, []string{"submit"}},
		} {
			setsNamespace := false
			for _, p := range s.trigger.Parameters {
				setsNamespace = setsNamespace || p.Dest == "metadata.namespace"
			}
			if slices.Contains(s.operations, s.trigger.Operation) && !setsNamespace {
				all = append(all, held{fmt.Sprintf("spec.triggers.%d.template.%s.source.resource", i, s.name), m.Metadata.Namespace, s.trigger.Source.Resource})
			}
		}
	}
	return all, nil
}

// crossplaneObject returns the object that provider-kubernetes creates, if it does not only
// observe it.
func crossplaneObject(m Manifest) ([]held, error) {
	var o struct {
		Spec struct {
			ManagementPolicies []string `json:"managementPolicies"`
			ManagementPolicy   string   `json:"managementPolicy"` // of earlier versions
			ForProvider        struct {
				Manifest jsontext.Value `json:"manifest"`
			} `json:"forProvider"`
		} `json:"spec"`
	}
	if err := jsonv2.Unmarshal(m.Text, &o, asTheAPIServer); err != nil {
		return nil, err
	}
	policies := o.Spec.ManagementPolicies
	if len(policies) == 0 {
		policies = []string{cmp.Or(o.Spec.ManagementPolicy, "*")}
	}
	if !slices.ContainsFunc(policies, func(p string) bool {
		return slices.Contains([]string{"*", "Create", "Default", "ObserveCreateUpdate"}, p)
	}) {
		return nil, nil
	}
	return []held{{path: "spec.forProvider.manifest", text: o.Spec.ForProvider.Manifest}}, nil
}

// manifestWork returns the objects that Open Cluster Management creates in a managed cluster.
func manifestWork(m Manifest) (all []held, err error) {
	var o struct {
		Spec struct {
			Workload struct {
				Manifests []jsontext.Value `json:"manifests"`
			} `json:"workload"`
		} `json:"spec"`
	}
	if err := jsonv2.Unmarshal(m.Text, &o, asTheAPIServer); err != nil {
		return nil, err
	}
	for i, text := range o.Spec.Workload.Manifests {
		all = append(all, held{path: fmt.Sprintf("spec.workload.manifests.%d", i), text: text})
	}
	return all, nil
}

// openShiftTemplate returns the objects of a Template of OpenShift, with the parameters that it
// gives a value. Without a value of the parameter that is its namespace, an object is left out.
func openShiftTemplate(m Manifest) (all []held, err error) {
	var o struct {
		Objects    []jsontext.Value `json:"objects"`
		Parameters []struct {
			Name  string `json:"name"`
			Value string `json:"value"`
		} `json:"parameters"`
	}
	if err := jsonv2.Unmarshal(m.Text, &o, asTheAPIServer); err != nil {
		return nil, err
	}
	values := map[string]string{}
	for _, p := range o.Parameters {
		values[p.Name] = p.Value
	}
	for i, text := range o.Objects {
		if text = withParameters(text, values); text.Kind() != '{' {
			continue
		}
		var h Header
		if jsonv2.Unmarshal(text, &h, asTheAPIServer) == nil && !strings.Contains(h.Metadata.Namespace, "${") {
			all = append(all, held{path: fmt.Sprintf("objects.%d", i), text: text})
		}
	}
	return all, nil
}

// templateParameter is a parameter in the JSON of a Template: "${{NAME}}" is replaced with its
// quotes, ${NAME} within a text.
var templateParameter = regexp.MustCompile(`"\$\{\{(\w+)\}\}"|\$\{(\w+)\}`)

// withParameters replaces the parameters that have a value. An object that is invalid with them
// stays as it is.
func withParameters(text jsontext.Value, values map[string]string) jsontext.Value {
	replaced := jsontext.Value(templateParameter.ReplaceAllStringFunc(string(text), func(parameter string) string {
		name := templateParameter.FindStringSubmatch(parameter)
		value := values[cmp.Or(name[1], name[2])]
		switch {
		case value == "":
			return parameter
		case name[1] != "":
			return value
		}
		quoted, err := jsontext.AppendQuote(nil, value)
		if err != nil {
			return parameter
		}
		return string(quoted[1 : len(quoted)-1])
	}))
	if !replaced.IsValid(asTheAPIServer) {
		return text
	}
	return replaced
}
