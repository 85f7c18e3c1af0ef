package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"go.yaml.in/yaml/v3"
)

// value is a value of the chart, or a group of values.
type value struct {
	name, path  string
	section     string // that begins with the value; empty: none
	description string
	defaultText string         // instead of the default
	schema      map[string]any // that overrides the type of the default
	node        *yaml.Node
	group       []value // of a group; nil: a value
}

// parseValues returns the values of values.yaml, with the comments above them: "## SECTION",
// the description, "@schema FLOW" and "@default TEXT".
func parseValues(text []byte) ([]value, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, err
	}
	values, err := groupValues(document.Content[0], "")
	if err == nil && len(values) > 0 { // comments before an empty line are the document's
		values[0].parseSection(document.HeadComment)
	}
	return values, err
}

func groupValues(mapping *yaml.Node, prefix string) ([]value, error) {
	var all []value
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		key := mapping.Content[i]
		v := value{name: key.Value, path: prefix + key.Value, node: mapping.Content[i+1]}
		if err := v.parseComment(key.HeadComment); err != nil {
			return nil, fmt.Errorf("values.yaml: %s: %w", v.path, err)
		}
		if v.node.Kind == yaml.MappingNode && len(v.node.Content) > 0 && v.schema == nil {
			var err error
			if v.group, err = groupValues(v.node, v.path+"."); err != nil {
				return nil, err
			}
		}
		all = append(all, v)
	}
	return all, nil
}

func (v *value) parseSection(comment string) {
	for line := range strings.Lines(comment) {
		if section, ok := strings.CutPrefix(strings.TrimSpace(line), "## "); ok {
			v.section = section
		}
	}
}

func (v *value) parseComment(comment string) error {
	v.parseSection(comment)
	var description []string
	for line := range strings.Lines(comment) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "## ") {
			continue
		}
		line = strings.TrimSpace(strings.TrimPrefix(line, "#"))
		if text, ok := strings.CutPrefix(line, "@default "); ok {
			v.defaultText = text
		} else if text, ok := strings.CutPrefix(line, "@schema "); ok {
			if err := yaml.Unmarshal([]byte(text), &v.schema); err != nil {
				return err
			}
		} else if line != "" {
			description = append(description, line)
		}
	}
	v.description = strings.Join(description, " ")
	return nil
}

// schemaBase is the part of values.schema.json that no single value determines.
const schemaBase = `
$schema: http://json-schema.org/draft-07/schema#
definitions:
  strings: {type: object, additionalProperties: {type: string}}
  name: {type: string, pattern: '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$', maxLength: 63}
  port: {type: integer, minimum: 1, maximum: 65535}
  named: {type: object, required: [name], properties: {name: {type: string, minLength: 1}}}
if: {properties: {store: {properties: {type: {const: embedded}}}}}
then: {properties: {replicas: {maximum: 1}}}
`

// valuesSchema returns values.schema.json. It rejects unknown values.
func valuesSchema(values []value) ([]byte, error) {
	var schema map[string]any
	if err := yaml.Unmarshal([]byte(schemaBase), &schema); err != nil {
		return nil, err
	}
	group, err := groupSchema(values)
	if err != nil {
		return nil, err
	}
	maps.Copy(schema, group)
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err = encoder.Encode(schema)
	return b.Bytes(), err
}

func groupSchema(values []value) (map[string]any, error) {
	properties := map[string]any{}
	for _, v := range values {
		one, err := v.valueSchema()
		if err != nil {
			return nil, err
		}
		properties[v.name] = one
	}
	return map[string]any{"type": "object", "additionalProperties": false, "properties": properties}, nil
}

func (v value) valueSchema() (schema map[string]any, err error) {
	schema = map[string]any{}
	if v.group != nil {
		if schema, err = groupSchema(v.group); err != nil {
			return nil, err
		}
	}
	maps.Copy(schema, v.schema)
	if _, typed := schema["type"]; !typed && schema["$ref"] == nil && schema["enum"] == nil {
		types := map[string]string{"!!str": "string", "!!int": "integer", "!!bool": "boolean", "!!seq": "array", "!!map": "object"}
		if schema["type"] = types[v.node.Tag]; schema["type"] == "" {
			return nil, fmt.Errorf("values.yaml: %s: the default has the type %s: add @schema", v.path, v.node.Tag)
		}
	}
	if v.description != "" && schema["$ref"] == nil { // draft 7 ignores what is beside $ref
		schema["description"] = v.description
	}
	return schema, nil
}

// valuesTable returns the tables of README.md, one a section.
func valuesTable(values []value) (string, error) {
	var b strings.Builder
	var rows func(values []value) error
	rows = func(values []value) error {
		for _, v := range values {
			if v.section != "" {
				fmt.Fprintf(&b, "\n### %s\n\n| value | default | meaning |\n|---|---|---|\n", v.section)
			}
			if v.group != nil {
				if err := rows(v.group); err != nil {
					return err
				}
				continue
			}
			standard, err := v.standard()
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, "%s\n", strings.Join([]string{"| `" + v.path + "`", standard, v.description + " |"}, " | "))
		}
		return nil
	}
	err := rows(values)
	return b.String(), err
}

// standard returns the default for the table.
func (v value) standard() (string, error) {
	switch {
	case v.defaultText != "":
		return v.defaultText, nil
	case v.node.Kind == yaml.ScalarNode && v.node.Value == "":
		return "", nil
	case v.node.Kind == yaml.ScalarNode && v.node.Style&yaml.DoubleQuotedStyle != 0:
		return "`\"" + v.node.Value + "\"`", nil
	case v.node.Kind == yaml.ScalarNode:
		return "`" + v.node.Value + "`", nil
	}
	var content any
	if err := v.node.Decode(&content); err != nil {
		return "", err
	}
	flow := yaml.Node{}
	if err := flow.Encode(content); err != nil {
		return "", err
	}
	setFlow(&flow)
	text, err := yaml.Marshal(&flow)
	return "`" + strings.Join(strings.Fields(string(text)), " ") + "`", err
}

func setFlow(n *yaml.Node) {
	n.Style = yaml.FlowStyle
	if n.Kind == yaml.ScalarNode {
		n.Style = 0
	}
	for _, c := range n.Content {
		setFlow(c)
	}
}

const (
	tableBegin = "<!-- generated from values.yaml by `make manifests` -->\n"
	tableEnd   = "<!-- end of the generated part -->\n"
)

// addValues adds values.schema.json, and README.md with the tables of the values.
func addValues(files map[string][]byte, read func(path string) ([]byte, error)) error {
	text, err := read("chart/values.yaml")
	if err != nil {
		return err
	}
	values, err := parseValues(text)
	if err != nil {
		return err
	}
	if files["chart/values.schema.json"], err = valuesSchema(values); err != nil {
		return err
	}
	readme, err := read("chart/README.md")
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(readme), tableBegin)
	_, after, closed := strings.Cut(rest, tableEnd)
	if !ok || !closed {
		return fmt.Errorf("chart/README.md: no lines %q and %q around the tables", strings.TrimSpace(tableBegin), strings.TrimSpace(tableEnd))
	}
	table, err := valuesTable(values)
	files["chart/README.md"] = []byte(before + tableBegin + table + "\n" + tableEnd + after)
	return err
}
