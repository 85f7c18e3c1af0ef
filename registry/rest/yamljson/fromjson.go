package yamljson

import (
	"bytes"
	"errors"
	"io"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
	yamlv3 "go.yaml.in/yaml/v3"
)

// FromJSON converts a JSON value, with sorted keys. [ToJSON] reverses it.
func FromJSON(text []byte) ([]byte, error) {
	in := jsontext.NewDecoder(bytes.NewReader(text))
	root, err := read(in, 0)
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

// maxBlockDepth is the depth from which values are in flow style: the indentation of block style grows
// with the square of the depth.
const maxBlockDepth = 20

func read(in *jsontext.Decoder, depth int) (*yamlv3.Node, error) {
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
		err = readObject(in, n, depth)
	case '[':
		n.Kind, n.Tag = yamlv3.SequenceNode, "!!seq"
		err = readList(in, n, depth)
	default:
		n.Value = token.String() // the text of numbers, true, false and null
	}
	if n.Kind != yamlv3.ScalarNode && (len(n.Content) == 0 || depth > maxBlockDepth) {
		n.Style = yamlv3.FlowStyle
	}
	return n, err
}

func readList(in *jsontext.Decoder, n *yamlv3.Node, depth int) error {
	for in.PeekKind() != ']' {
		item, err := read(in, depth+1)
		if err != nil {
			return err
		}
		n.Content = append(n.Content, item)
	}
	_, err := in.ReadToken()
	return err
}

func readObject(in *jsontext.Decoder, n *yamlv3.Node, depth int) error {
	type pair struct{ key, value *yamlv3.Node }
	var pairs []pair
	for in.PeekKind() != '}' {
		key, err := read(in, depth+1)
		if err != nil {
			return err
		}
		value, err := read(in, depth+1)
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
	_, err := in.ReadToken()
	return err
}

// ambiguous reports whether plain text has another meaning in YAML 1.1 or 1.2, or is not preserved in
// block style.
func ambiguous(text string) bool {
	n := yamlv3.Node{Kind: yamlv3.ScalarNode, Value: text}
	value, err := scalar(&n)
	return err != nil || value.Kind() != '"' || bytes.ContainsAny([]byte(text), "\r\u0085\u2028\u2029\ufeff\t\n") || text == "" || text == "<<" || text == "="
}
