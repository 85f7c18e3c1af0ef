package yamljson

import (
	"bytes"
	"errors"
	"io"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
	yamlv3 "go.yaml.in/yaml/v3"
)

// FromJSON converts one JSON value, with the keys of objects in order. [ToJSON]
// makes the same value of what it returns.
func FromJSON(text []byte) ([]byte, error) {
	in := jsontext.NewDecoder(bytes.NewReader(text))
	root, err := read(in)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	w := yamlv3.NewEncoder(&out)
	w.SetIndent(2)
	w.CompactSeqIndent()
	if err := w.Encode(root); err != nil {
		return nil, err
	}
	return out.Bytes(), w.Close()
}

func read(in *jsontext.Decoder) (*yamlv3.Node, error) {
	token, err := in.ReadToken()
	if err != nil {
		return nil, err
	}
	n := &yamlv3.Node{Kind: yamlv3.ScalarNode}
	switch token.Kind() {
	case '"':
		n.Tag, n.Value = "!!str", token.String()
		if ambiguous(n.Value) {
			n.Style = yamlv3.DoubleQuotedStyle
		}
	case '{':
		n.Kind, n.Tag = yamlv3.MappingNode, "!!map"
		return n, readObject(in, n)
	case '[':
		n.Kind, n.Tag = yamlv3.SequenceNode, "!!seq"
		for in.PeekKind() != ']' {
			item, err := read(in)
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, item)
		}
		if len(n.Content) == 0 {
			n.Style = yamlv3.FlowStyle
		}
		_, err := in.ReadToken()
		return n, err
	default:
		n.Value = token.String() // numbers to the digit; true, false and null
	}
	return n, nil
}

func readObject(in *jsontext.Decoder, n *yamlv3.Node) error {
	type pair struct{ key, value *yamlv3.Node }
	var pairs []pair
	for in.PeekKind() != '}' {
		key, err := read(in)
		if err != nil {
			return err
		}
		value, err := read(in)
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		pairs = append(pairs, pair{key, value})
	}
	slices.SortFunc(pairs, func(a, b pair) int { return bytes.Compare([]byte(a.key.Value), []byte(b.key.Value)) })
	for _, p := range pairs {
		n.Content = append(n.Content, p.key, p.value)
	}
	if len(pairs) == 0 {
		n.Style = yamlv3.FlowStyle
	}
	_, err := in.ReadToken()
	return err
}

// ambiguous tells whether text that stands there plain means something else to
// some reader of YAML, 1.1 or 1.2, or is not kept to the byte in a block.
func ambiguous(text string) bool {
	n := yamlv3.Node{Kind: yamlv3.ScalarNode, Value: text}
	value, err := scalar(&n)
	return err != nil || value.Kind() != '"' || bytes.ContainsAny([]byte(text), "\r\u0085\u2028\u2029\ufeff\t\n") || text == "" || text == "<<" || text == "="
}
