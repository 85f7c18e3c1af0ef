// Package yamljson converts between YAML and JSON, and preserves the digits of numbers. Other converters
// round them to float64, so that a client would change numbers that it sends back.
package yamljson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	yamlv3 "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"
)

// maxNodes is the maximum number of values of a document with its aliases expanded: about those of 1 MiB
// of plain text.
const maxNodes = 200_000

// maxBytes is the maximum size in bytes with aliases expanded. A document of 1 MiB without aliases has
// less than 3 MiB of JSON.
const maxBytes = 4 << 20

// maxDepth is the maximum depth of nested values.
const maxDepth = 200

// ToJSON converts a YAML document. Plain scalars have the types that kubectl gives them: yes is true, and
// a date is text. Keys and the scalars of fields are text as written. Duplicate keys, excessive aliases and a second document are errors, with line and
// column.
func ToJSON(text []byte, fields *Strings) ([]byte, error) {
	dec := yamlv3.NewDecoder(bytes.NewReader(text))
	var root yamlv3.Node
	if err := dec.Decode(&root); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("no document, only comments or separators")
		}
		return nil, locate(text, err)
	}
	var another yamlv3.Node
	if err := dec.Decode(&another); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one document: send one request for each")
	}
	var out bytes.Buffer
	w := writer{out: jsontext.NewEncoder(&out)}
	if err := w.write(&root, 0, fields); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

type writer struct {
	out   *jsontext.Encoder
	seen  int // nodes
	bytes int // of keys and scalars
}

// spend counts the expanded size of n against the limits.
func (w *writer) spend(n *yamlv3.Node, nodes, bytes int) error {
	w.seen += nodes
	w.bytes += bytes
	switch {
	case w.seen > maxNodes:
		return at(n, "expanded aliases exceed %d values", maxNodes)
	case w.bytes > maxBytes:
		return at(n, "expanded aliases exceed %d bytes", maxBytes)
	}
	return nil
}

func (w *writer) write(n *yamlv3.Node, depth int, fields *Strings) error {
	if err := w.spend(n, 1, 0); err != nil {
		return err
	}
	if depth > maxDepth {
		return at(n, "values are nested deeper than %d", maxDepth)
	}
	switch n.Kind {
	case yamlv3.DocumentNode:
		return w.write(n.Content[0], depth, fields)
	case yamlv3.AliasNode:
		return w.write(n.Alias, depth+1, fields)
	case yamlv3.SequenceNode:
		return w.writeList(n, depth, fields)
	case yamlv3.MappingNode:
		return w.writeObject(n, depth, fields)
	case yamlv3.ScalarNode:
		value, err := scalar(n)
		if fields != nil && fields.isString && (err == nil && value.Kind() != 'n' || infinite.MatchString(n.Value)) {
			value, err = quote(n)
		}
		if err == nil {
			err = w.spend(n, 0, len(value))
		}
		if err != nil {
			return err
		}
		return w.out.WriteValue(value)
	}
	return at(n, "unsupported node")
}

func (w *writer) writeList(n *yamlv3.Node, depth int, fields *Strings) error {
	if err := w.out.WriteToken(jsontext.BeginArray); err != nil {
		return err
	}
	for _, item := range n.Content {
		if err := w.write(item, depth+1, fields.item()); err != nil {
			return err
		}
	}
	return w.out.WriteToken(jsontext.EndArray)
}

func (w *writer) writeObject(n *yamlv3.Node, depth int, fields *Strings) error {
	members, err := w.members(n, depth)
	if err != nil {
		return err
	}
	if err := w.out.WriteToken(jsontext.BeginObject); err != nil {
		return err
	}
	for _, m := range members {
		if err := w.out.WriteToken(jsontext.String(m.name)); err != nil {
			return at(m.value, "key %q: %v", m.name, err)
		}
		if err := w.write(m.value, depth+1, fields.Member(m.name)); err != nil {
			return err
		}
	}
	return w.out.WriteToken(jsontext.EndObject)
}

type member struct {
	name  string
	value *yamlv3.Node
}

// members returns the members of a mapping, including merged ones ("<<") that it does not override.
func (w *writer) members(n *yamlv3.Node, depth int) (all []member, err error) {
	if depth > maxDepth {
		return nil, at(n, "values are nested deeper than %d", maxDepth)
	}
	lines := make(map[string]int, len(n.Content)/2)
	var merged []*yamlv3.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Tag == "!!merge" {
			merged = append(merged, value)
			continue
		}
		name, err := keyName(key)
		if err == nil {
			err = w.spend(key, 0, len(name))
		}
		if err != nil {
			return nil, err
		}
		if line, ok := lines[name]; ok {
			return nil, at(key, "duplicate key %q, first in line %d", name, line)
		}
		lines[name] = key.Line
		all = append(all, member{name, value})
	}
	for _, value := range merged {
		sources := []*yamlv3.Node{value}
		if value.Kind == yamlv3.SequenceNode {
			sources = value.Content
		}
		for _, source := range sources {
			if source.Kind == yamlv3.AliasNode {
				source = source.Alias
			}
			if source.Kind != yamlv3.MappingNode {
				return nil, at(source, "only an object can be merged")
			}
			more, err := w.members(source, depth+1)
			if err != nil {
				return nil, err
			}
			if err := w.spend(source, 1+len(more), 0); err != nil {
				return nil, err
			}
			for _, m := range more {
				if _, ok := lines[m.name]; !ok {
					lines[m.name] = m.value.Line
					all = append(all, m)
				}
			}
		}
	}
	return all, nil
}

func keyName(n *yamlv3.Node) (string, error) {
	if n.Kind == yamlv3.AliasNode {
		n = n.Alias
	}
	if n.Kind != yamlv3.ScalarNode {
		return "", at(n, "a key must be a scalar")
	}
	value, err := scalar(n)
	if err != nil {
		return "", err
	}
	var text string
	if value.Kind() == '"' {
		err = jsonv2.Unmarshal(value, &text)
		return text, err
	}
	if value.Kind() == 'n' {
		return "null", nil
	}
	return n.Value, nil // numbers and booleans as written: kubectl makes y true
}

// number matches the numbers of JSON.
var number = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)

var infinite = regexp.MustCompile(`^([-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$`)

// scalar returns the JSON of a scalar.
func scalar(n *yamlv3.Node) (jsontext.Value, error) {
	plain := n.Style&(yamlv3.SingleQuotedStyle|yamlv3.DoubleQuotedStyle|yamlv3.LiteralStyle|yamlv3.FoldedStyle) == 0
	tagged := n.Style&yamlv3.TaggedStyle != 0
	switch {
	case tagged && n.Tag != "!!str":
		return tagvalue(n)
	case !plain || tagged:
		return quote(n)
	case isWord(n.Value):
		return quote(n)
	case number.MatchString(n.Value):
		return jsontext.Value(n.Value), nil
	case infinite.MatchString(n.Value):
		return nil, at(n, "JSON has no number %s: quote it if it is text", n.Value)
	}
	var value any
	if err := yaml.Unmarshal([]byte(n.Value), &value); err != nil {
		return quote(n) // for example a plain "a: b"
	}
	switch value.(type) {
	case bool, nil, float64:
		return json.Marshal(value)
	}
	return quote(n)
}

// isWord reports whether s is certainly text. It is much faster than a YAML decoder.
func isWord(s string) bool {
	if s == "" {
		return false
	}
	c := s[0] | 0x20
	if (c < 'a' || c > 'z') && s[0] != '_' && s[0] < 0x80 {
		return false
	}
	switch s {
	case "y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "true", "True", "TRUE",
		"n", "N", "no", "No", "NO", "off", "Off", "OFF", "false", "False", "FALSE",
		"null", "Null", "NULL":
		return false
	}
	return true
}

// tagvalue returns the JSON of a scalar with a tag, such as !!int "1".
func tagvalue(n *yamlv3.Node) (jsontext.Value, error) {
	var value any
	if err := n.Decode(&value); err != nil {
		return nil, at(n, "%v", err)
	}
	text, err := json.Marshal(value)
	if err != nil {
		return nil, at(n, "%v", err)
	}
	return text, nil
}

func quote(n *yamlv3.Node) (jsontext.Value, error) {
	text, err := jsontext.AppendQuote(nil, n.Value)
	if err != nil {
		return nil, at(n, "%v", err)
	}
	return text, nil
}

func at(n *yamlv3.Node, format string, args ...any) error {
	return errors.New("line " + strconv.Itoa(n.Line) + ", column " + strconv.Itoa(n.Column) + ": " + fmt.Sprintf(format, args...))
}
