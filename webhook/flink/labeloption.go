package flink

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The Flink options that list labels of its pods. In native mode, Flink's client sets those of
// the JobManager on the Deployment too.
const (
	OptionJobManagerLabels  = "kubernetes.jobmanager.labels"
	OptionTaskManagerLabels = "kubernetes.taskmanager.labels"
)

// visitOption calls list or pair with the value of an option in Flink's configuration. The
// configuration may be nested to any depth: the names along a path, joined by dots, are the
// name of the option. An option that lists pairs is one string, or has its keys below it.
func visitOption(option, name string, path []string, node map[string]any, list func(path []string, value string), pair func(path []string, key, value string)) {
	for _, key := range slices.Sorted(maps.Keys(node)) {
		joined, below := key, slices.Concat(path, []string{key})
		if name != "" {
			joined = name + "." + key
		}
		rest, isBelow := strings.CutPrefix(joined, option+".")
		inner, isMap := node[key].(map[string]any)
		switch {
		case isMap && (isBelow || joined == option || strings.HasPrefix(option, joined+".")):
			visitOption(option, joined, below, inner, list, pair)
		case isMap || node[key] == nil:
		case joined == option:
			list(below, fmt.Sprint(node[key]))
		case isBelow:
			pair(below, rest, fmt.Sprint(node[key]))
		}
	}
}

// parseList parses the value of an option that lists labels: k:v,k2:v2, or a YAML map in flow
// style.
func parseList(list string) map[string]string {
	pairs := map[string]string{}
	for _, e := range splitList(list) {
		if key, value, ok := parsePair(e); ok {
			pairs[key] = value
		}
	}
	return pairs
}

// RemoveFromList returns the value of an option that lists labels without some keys.
func RemoveFromList(list string, keys []string) string {
	var rest []string
	for _, e := range splitList(list) {
		if key, _, _ := parsePair(e); !slices.Contains(keys, key) {
			rest = append(rest, strings.TrimSpace(e))
		}
	}
	text := strings.Join(rest, ",")
	if strings.HasPrefix(strings.TrimSpace(list), "{") && text != "" {
		return "{" + text + "}"
	}
	return text
}

// splitList splits a list at commas and newlines, which no label contains.
func splitList(list string) []string {
	list = strings.TrimSpace(list)
	if inner, ok := strings.CutPrefix(list, "{"); ok {
		list = strings.TrimSuffix(inner, "}")
	}
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == '\n' })
}

func parsePair(pair string) (key, value string, ok bool) {
	key, value, ok = strings.Cut(pair, ":")
	const quotes = ` '"`
	return strings.Trim(key, quotes), strings.Trim(value, quotes), ok
}
