// Package documents makes documents of the REST API for property tests.
package documents

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
)

// Random returns the JSON of an object of a kind with names, labels, annotations and numbers that
// custom resources cannot have as they are.
func Random(random *rand.Rand, kind string, i int) []byte {
	pick := func(values ...string) string { return values[random.IntN(len(values))] }
	metadata := map[string]any{
		"name":        fmt.Sprintf("%s-%d", pick("plain", "with-hyphens", "t2"), i),
		"labels":      map[string]string{pick("team", "x/y/z", "Ümlaut"): pick("nuts", "", "two words", "ä"), "same": "x"},
		"annotations": map[string]string{pick("note", "example.com/a", "not valid/ä"): pick("", "line\nbreak", "<b>", "\u00e9\U0001F43F")},
	}
	spec := map[string]any{}
	if kind == "DeploymentTarget" {
		metadata["name"] = fmt.Sprintf("%s%d", pick("camelCase", "under_score", "plain", "UPPER"), i)
		spec["kubernetes"] = map[string]any{"namespace": fmt.Sprintf("n%d", i)}
	} else {
		metadata["displayName"] = pick("Top Speed", "a: b", "- 1", "Ω")
		spec["numbers"] = []json.RawMessage{json.RawMessage(pick("1.0", "12345678901234567890.10", "1e3", "-0", "0.10"))}
		spec["nested"] = map[string]any{"null": nil, "text": pick("yes", "1.20", "~", "multi\nline\n", "\ttab"), "empty": map[string]any{}}
	}
	text, err := json.Marshal(map[string]any{"kind": kind, "apiVersion": "v1", "metadata": metadata, "spec": spec})
	if err != nil {
		panic(err)
	}
	return text
}
