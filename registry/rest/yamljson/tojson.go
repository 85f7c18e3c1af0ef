// Package yamljson turns YAML into JSON and back without losing a digit of a
// number. The usual way goes through float64, which rounds, and a client that
// sends back what it got would change what it never touched.
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

// maxNodes bounds what a document may grow to when its aliases are written out:
// about what 1 MiB of plain text can hold.
const maxNodes = 200_000

// maxBytes bounds the same in bytes: few aliases of one long text are much. What
// is written in full takes less than three times its 1 MiB in JSON.
const maxBytes = 4 << 20

// deepest is how far values may be nested.
const deepest = 200

// ToJSON converts one YAML document. Plain scalars mean what they mean to
// kubectl: yes is true, and a date is text. Duplicate keys, aliases that explode
// and a second document are errors, with line and column where there is one.
func ToJSON(text []byte) ([]byte, error) {
	dec := yamlv3.NewDecoder(bytes.NewReader(text))
	var root yamlv3.Node
	if err := dec.Decode(&root); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("it has no document, only comments or separators")
		}
		return nil, err
	}
	var another yamlv3.Node
	if err := dec.Decode(&another); !errors.Is(err, io.EOF) {
		return nil, errors.New("it has more than one document: send one request for each")
	}
	var out bytes.Buffer
	w := writer{out: jsontext.NewEncoder(&out)}
	if err := w.write(&root, 0); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

type writer struct {
	out   *jsontext.Encoder
	seen  int // nodes
	bytes int // of keys and scalars
}

// spend counts what n takes, written out, and refuses what is too much.
func (w *writer) spend(n *yamlv3.Node, nodes, bytes int) error {
	w.seen += nodes
	w.bytes += bytes
	switch {
	case w.seen > maxNodes:
		return at(n, "written out, its aliases make more than %d values", maxNodes)
	case w.bytes > maxBytes:
		return at(n, "written out, its aliases make more than %d bytes", maxBytes)
	}
	return nil
}

func (w *writer) write(n *yamlv3.Node, depth int) error {
	if err := w.spend(n, 1, 0); err != nil {
		return err
	}
	if depth > deepest {
		return at(n, "values are nested more than %d deep", deepest)
	}
	switch n.Kind {
	case yamlv3.DocumentNode:
		return w.write(n.Content[0], depth)
	case yamlv3.AliasNode:
		return w.write(n.Alias, depth+1)
	case yamlv3.SequenceNode:
		return w.writeList(n, depth)
	case yamlv3.MappingNode:
		return w.writeObject(n, depth)
	case yamlv3.ScalarNode:
		value, err := scalar(n)
		if err == nil {
			err = w.spend(n, 0, len(value))
		}
		if err != nil {
			return err
		}
		return w.out.WriteValue(value)
	}
	return at(n, "this cannot be read")
}

func (w *writer) writeList(n *yamlv3.Node, depth int) error {
	if err := w.out.WriteToken(jsontext.BeginArray); err != nil {
		return err
	}
	for _, item := range n.Content {
		if err := w.write(item, depth+1); err != nil {
			return err
		}
	}
	return w.out.WriteToken(jsontext.EndArray)
}

func (w *writer) writeObject(n *yamlv3.Node, depth int) error {
	members, err := w.members(n, depth)
	if err != nil {
		return err
	}
	if err := w.out.WriteToken(jsontext.BeginObject); err != nil {
		return err
	}
	for _, m := range members {
		if err := w.out.WriteToken(jsontext.String(m.name)); err != nil {
			return at(m.value, "the key %q cannot be written: %v", m.name, err)
		}
		if err := w.write(m.value, depth+1); err != nil {
			return err
		}
	}
	return w.out.WriteToken(jsontext.EndObject)
}

type member struct {
	name  string
	value *yamlv3.Node
}

// members are those of a mapping, with those that it merges in ("<<") and does
// not have itself.
func (w *writer) members(n *yamlv3.Node, depth int) (all []member, err error) {
	if depth > deepest {
		return nil, at(n, "values are nested more than %d deep", deepest)
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
			return nil, at(key, "the key %q stands there twice, first in line %d", name, line)
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
				return nil, at(source, "only an object can be merged in")
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
		return "", at(n, "a key is a list or an object")
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
	return string(value), nil // as kubectl: a number or a truth value is taken by its text
}

// number is one as JSON writes it.
var number = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)

var infinite = regexp.MustCompile(`^([-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$`)

// scalar is the JSON of a scalar.
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
		return nil, at(n, "%s is no number that JSON has: put it in quotes if it is text", n.Value)
	}
	var value any
	if err := yaml.Unmarshal([]byte(n.Value), &value); err != nil {
		return quote(n) // such as a plain "a: b" within quotes of ours: it is text
	}
	switch value.(type) {
	case bool, nil, float64:
		return json.Marshal(value)
	}
	return quote(n)
}

// isWord tells of most text that it is text, which is much quicker than to ask
// the reader of YAML.
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

// tagvalue is a scalar with a tag, such as !!int "1", as YAML has it.
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
