package verdict

import (
	"encoding/json"
	"slices"
	"strings"

	"drey.dev/drey/webhook/flink"
)

// mergePatch returns the JSON merge patch that sets fields to a value or, if that is nil,
// removes their labels.
func mergePatch(fields []flink.LabelField, value *string) map[string]any {
	patch := map[string]any{}
	for _, f := range fields {
		switch {
		case value != nil:
			setPath(patch, f.Path, *value)
		case f.List != "":
			setPath(patch, f.Path, listWithout(f, fields))
		default:
			setPath(patch, f.Path, nil)
		}
	}
	return patch
}

// listWithout returns the list of an option without the labels of all fields at its path, nil
// if no label is left.
func listWithout(option flink.LabelField, fields []flink.LabelField) any {
	var keys []string
	for _, f := range fields {
		if slices.Equal(f.Path, option.Path) {
			keys = append(keys, f.Key)
		}
	}
	if list := flink.RemoveFromList(option.List, keys); list != "" {
		return list
	}
	return nil
}

// setPath sets the field at a path of nested maps, and creates the maps that are missing.
func setPath(patch map[string]any, path []string, value any) {
	for _, key := range path[:len(path)-1] {
		inner, ok := patch[key].(map[string]any)
		if !ok {
			inner = map[string]any{}
			patch[key] = inner
		}
		patch = inner
	}
	patch[path[len(path)-1]] = value
}

// quotedJSON returns a patch that is safe between the single quotes of a shell.
func quotedJSON(patch map[string]any) string {
	text, _ := json.Marshal(patch) // maps and strings only: it cannot fail
	return strings.ReplaceAll(string(text), "'", `\u0027`)
}
