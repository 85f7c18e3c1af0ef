package yamljson

import (
	"bytes"
	"fmt"
	"regexp"
	"sort"
	"strconv"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"
)

// Position returns the line and column of the value in a YAML document that a JSON pointer addresses in
// its conversion, or of the nearest value around it; 0, 0 if the document is not valid.
func Position(text []byte, pointer string) (line, column int) {
	var root yamlv3.Node
	if yamlv3.Unmarshal(text, &root) != nil || len(root.Content) == 0 {
		return 0, 0
	}
	n := root.Content[0]
	unescape := strings.NewReplacer("~1", "/", "~0", "~")
	for name := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		next := below(n, unescape.Replace(name))
		if next == nil {
			break
		}
		n = next
	}
	return n.Line, n.Column
}

// below returns a member of a mapping or sequence; nil: none, or from an alias or a merge.
func below(n *yamlv3.Node, name string) *yamlv3.Node {
	switch n.Kind {
	case yamlv3.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if key, err := keyName(n.Content[i]); err == nil && key == name {
				return n.Content[i+1]
			}
		}
	case yamlv3.SequenceNode:
		if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < len(n.Content) {
			return n.Content[i]
		}
	}
	return nil
}

// maxLocated is the maximum size in bytes of a document whose syntax errors are located, which parses it
// up to 17 times.
const maxLocated = 64 << 10

var errorPrefix = regexp.MustCompile(`^yaml: (line [0-9]+: )?`)

// locate adds the line and column to a syntax error. The parser has no column, and the line at which the
// surrounding value begins. The error is at the end of the shortest prefix with the same error.
func locate(text []byte, err error) error {
	if len(text) > maxLocated {
		return err
	}
	end := sort.Search(len(text), func(n int) bool {
		var root yamlv3.Node
		prefixErr := yamlv3.Unmarshal(text[:n], &root)
		return prefixErr != nil && prefixErr.Error() == err.Error()
	})
	before := text[:end]
	start := 1 + bytes.LastIndexAny(before[:max(end-1, 0)], " \t\r\n") // of the word
	return fmt.Errorf("line %d, column %d: %s", 1+bytes.Count(before[:start], []byte("\n")), start-bytes.LastIndexByte(before[:start], '\n'), errorPrefix.ReplaceAllString(err.Error(), ""))
}
