package rest

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	yamlv3 "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"
)

// maxNodes bounds what a YAML body may grow to when its aliases are written
// out: about what 1 MiB of plain text can hold.
const maxNodes = 200_000

// yamlToJSON converts one YAML document the way kubectl does. Duplicate keys,
// aliases that explode and a second document are errors; a duplicate names its
// line and column.
func yamlToJSON(text []byte) ([]byte, error) {
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
	if _, err := checkNode(&root, 0, 0); err != nil {
		return nil, err
	}
	return yaml.YAMLToJSON(text)
}

// checkNode walks a node as it would be written out, aliases included, and
// returns how many nodes it has met so far.
func checkNode(n *yamlv3.Node, seen, depth int) (int, error) {
	seen++
	if seen > maxNodes {
		return seen, fmt.Errorf("line %d, column %d: written out, its aliases make more than %d values", n.Line, n.Column, maxNodes)
	}
	const deepest = 200
	if depth > deepest {
		return seen, fmt.Errorf("line %d, column %d: values are nested more than %d deep", n.Line, n.Column, deepest)
	}
	if n.Kind == yamlv3.AliasNode {
		return checkNode(n.Alias, seen, depth+1)
	}
	if n.Kind == yamlv3.MappingNode {
		if err := checkKeys(n); err != nil {
			return seen, err
		}
	}
	var err error
	for _, child := range n.Content {
		if seen, err = checkNode(child, seen, depth+1); err != nil {
			return seen, err
		}
	}
	return seen, nil
}

func checkKeys(mapping *yamlv3.Node) error {
	lines := make(map[string]int, len(mapping.Content)/2)
	for i := 0; i < len(mapping.Content); i += 2 {
		key := mapping.Content[i]
		if line, ok := lines[key.Value]; ok && key.Kind == yamlv3.ScalarNode {
			return fmt.Errorf("line %d, column %d: the key %q stands there twice, first in line %d", key.Line, key.Column, key.Value, line)
		}
		lines[key.Value] = key.Line
	}
	return nil
}
