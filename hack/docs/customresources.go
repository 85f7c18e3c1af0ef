package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// definition is the part of a CustomResourceDefinition that the page shows.
type definition struct {
	Spec struct {
		Group string
		Names struct {
			Kind, Plural string
			ShortNames   []string
		}
		Versions []struct {
			Name   string
			Schema struct{ OpenAPIV3Schema schema }
		}
	}
}

type schema struct {
	Type, Format, Description string
	Enum                      []any
	Required                  []string
	Properties                map[string]schema
	Items                     *schema
	Rules                     []struct{ Rule, Message string } `json:"x-kubernetes-validations"`
	Any                       bool                             `json:"x-kubernetes-preserve-unknown-fields"`
}

// customResourcesPage describes the fields of each CustomResourceDefinition.
func customResourcesPage(root string) (string, error) {
	files, err := filepath.Glob(filepath.Join(root, "manifests/crds/drey.dev_*.yaml"))
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("# Custom resources\n\n" + note + "The fields of the kinds of `drey.dev`. [Registry in the cluster](kubernetes.md) has their rules, and `kubectl explain` prints the same.\n\n")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		var d definition
		if err := yaml.Unmarshal(text, &d); err != nil {
			return "", fmt.Errorf("%s: %w", file, err)
		}
		for _, v := range d.Spec.Versions {
			fmt.Fprintf(&b, "## %s %s/%s\n\n%s\n\n", d.Spec.Names.Kind, d.Spec.Group, v.Name, flat(v.Schema.OpenAPIV3Schema.Description))
			fmt.Fprintf(&b, "For kubectl: `%s.%s`, `%s`.\n\n", d.Spec.Names.Plural, d.Spec.Group, strings.Join(d.Spec.Names.ShortNames, "`, `"))
			var rows [][]string
			for _, part := range []string{"metadata", "spec", "status"} {
				if s := v.Schema.OpenAPIV3Schema.Properties[part]; part != "metadata" {
					rows = fields(rows, part, s, false)
				}
			}
			b.WriteString(table([]string{"field", "type", "meaning"}, rows))
			if rules := validations(nil, "", v.Schema.OpenAPIV3Schema); len(rules) > 0 {
				b.WriteString("Validation by the API server:\n\n" + table([]string{"field", "message"}, rules))
			}
		}
	}
	return strings.TrimRight(b.String(), "\n") + "\n", nil
}

func fields(rows [][]string, path string, s schema, required bool) [][]string {
	kind := s.Type
	if s.Format != "" {
		kind += ", " + s.Format
	}
	if s.Items != nil {
		kind = "array of " + s.Items.Type
	}
	if s.Any {
		kind = "any object"
	}
	text := flat(s.Description)
	if len(s.Enum) > 0 {
		text += fmt.Sprintf(" One of %v.", s.Enum)
	}
	if required {
		text += " Required."
	}
	rows = append(rows, []string{code(path), kind, text})
	inner := s
	if s.Items != nil {
		inner, path = *s.Items, path+"[]"
	}
	for _, name := range slices.Sorted(maps.Keys(inner.Properties)) {
		rows = fields(rows, path+"."+name, inner.Properties[name], slices.Contains(inner.Required, name))
	}
	return rows
}

func validations(rows [][]string, path string, s schema) [][]string {
	for _, r := range s.Rules {
		rows = append(rows, []string{code(strings.TrimPrefix(path, ".")), r.Message})
	}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		rows = validations(rows, path+"."+name, s.Properties[name])
	}
	return rows
}

func flat(text string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(text), " "), "<", "&lt;")
}
