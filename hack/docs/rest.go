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

// document is the part of the OpenAPI document that the page shows.
type document struct {
	Tags       []struct{ Name, Description string }
	Paths      map[string]map[string]any
	Components struct {
		Parameters map[string]parameter
		Schemas    map[string]any
	}
}

type parameter struct {
	Ref                   string `json:"$ref"`
	Name, In, Description string
}

type operation struct {
	Tags        []string
	OperationID string
	Summary     string
	Description string
	Parameters  []parameter
	RequestBody struct {
		Content map[string]struct {
			Schema struct {
				Ref string `json:"$ref"`
			}
		}
	}
	Responses map[string]struct {
		Description string
		Content     map[string]struct {
			Schema struct {
				Ref string `json:"$ref"`
			}
		}
	}
}

var methods = []string{"get", "post", "put", "patch", "delete"}

// restPage lists the operations of the OpenAPI document, by tag.
func restPage(root string) (string, error) {
	text, err := os.ReadFile(filepath.Join(root, "registry/rest/openapi.yaml"))
	if err != nil {
		return "", err
	}
	var d document
	if err := yaml.Unmarshal(text, &d); err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("# List of REST operations\n\n" + note + "A running drey serves the OpenAPI 3.0 document, with the schemas of all bodies, at `/openapi.json`, Swagger 2.0 at `/api/swagger.json`,\nand both in a browser at `/swagger`. [REST API](rest.md) has the rules, and [reasons](reasons.md#errors-of-the-rest-api) the errors.\n\n")
	for _, tag := range d.Tags {
		var rows [][]string
		for _, path := range slices.Sorted(maps.Keys(d.Paths)) {
			for _, method := range methods {
				o, ok, err := d.operation(path, method)
				if err != nil {
					return "", fmt.Errorf("%s %s: %w", method, path, err)
				}
				if ok && slices.Contains(o.Tags, tag.Name) {
					rows = append(rows, []string{code(strings.ToUpper(method)), code(path), code(o.OperationID), d.query(o), o.body(), o.success()})
				}
			}
		}
		if len(rows) > 0 {
			b.WriteString("## " + tag.Name + "\n\n")
			if tag.Description != "" {
				b.WriteString(tag.Description + ".\n\n")
			}
			b.WriteString(table([]string{"method", "path", "operation", "query and headers", "body", "success"}, rows))
		}
	}
	return strings.TrimRight(b.String(), "\n") + "\n", nil
}

func (d document) operation(path, method string) (o operation, ok bool, err error) {
	value, ok := d.Paths[path][method]
	if !ok {
		return o, false, nil
	}
	text, err := yaml.Marshal(value)
	if err == nil {
		err = yaml.Unmarshal(text, &o)
	}
	return o, true, err
}

func (d document) query(o operation) string {
	var names []string
	for _, p := range o.Parameters {
		if p.Ref != "" {
			p = d.Components.Parameters[p.Ref[strings.LastIndex(p.Ref, "/")+1:]]
		}
		if p.In == "query" || p.In == "header" {
			names = append(names, code(p.Name))
		}
	}
	return strings.Join(names, ", ")
}

func (o operation) body() string {
	return reference(o.RequestBody.Content["application/json"].Schema.Ref)
}

// success returns the statuses below 300, with their schemas.
func (o operation) success() string {
	var all []string
	for _, status := range slices.Sorted(maps.Keys(o.Responses)) {
		if status < "300" {
			all = append(all, strings.TrimSpace(status+" "+reference(o.Responses[status].Content["application/json"].Schema.Ref)))
		}
	}
	return strings.Join(all, "; ")
}

func reference(ref string) string { return code(ref[strings.LastIndex(ref, "/")+1:]) }
