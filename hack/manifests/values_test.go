package main

import (
	"strings"
	"testing"
)

// TestValues generates the schema and the tables of a small values.yaml.
func TestValues(t *testing.T) {
	values, err := parseValues([]byte(`# About the file.

## Server

# The number
# of replicas.
# @schema {minimum: 1}
replicas: 2
image:
  # @default the chart's appVersion
  tag: ""
# Of the pods.
# @schema {$ref: '#/definitions/strings'}
labels: {a: "1"}
ports: [443]
`))
	if err != nil {
		t.Fatal(err)
	}
	table, err := valuesTable(values)
	if err != nil {
		t.Fatal(err)
	}
	const want = `
### Server

| value | default | meaning |
|---|---|---|
| ` + "`replicas` | `2`" + ` | The number of replicas. |
| ` + "`image.tag`" + ` | the chart's appVersion |  |
| ` + "`labels` | `{a: \"1\"}`" + ` | Of the pods. |
| ` + "`ports` | `[443]`" + ` |  |
`
	if table != want {
		t.Errorf("got the table\n%s\nwant\n%s", table, want)
	}
	schema, err := valuesSchema(values)
	if err != nil {
		t.Fatal(err)
	}
	compact := strings.Join(strings.Fields(string(schema)), "")
	for _, part := range []string{
		`"replicas":{"description":"Thenumberofreplicas.","minimum":1,"type":"integer"}`,
		`"image":{"additionalProperties":false,"properties":{"tag":{"type":"string"}},"type":"object"}`,
		`"labels":{"$ref":"#/definitions/strings"}`,
		`"ports":{"type":"array"}`,
	} {
		if !strings.Contains(compact, part) {
			t.Errorf("got the schema %s, want %s in it", schema, part)
		}
	}
	values, err = parseValues([]byte("ratio: 0.5\n"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := valuesSchema(values); err == nil || !strings.Contains(err.Error(), "ratio") {
		t.Errorf("a value without a known type: got %v, want an error that names it", err)
	}
}
