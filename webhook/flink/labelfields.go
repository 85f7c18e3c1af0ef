package flink

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// LabelField is a place in a manifest that states a label by which Ververica Platform
// knows a workload: whose it is.
type LabelField struct {
	Key, Value string
	Path       []string // of the label, or of the option that lists it

	// List is the value of the Flink option that lists the label, such as
	// team:blue,vvpNamespace:a. Empty: the place holds this label alone.
	List string
}

// IdentityLabels are the labels of which statements are read.
var IdentityLabels = []string{LabelPlatformNamespace, LabelDeploymentID, LabelSessionClusterID}

// podSource is where a custom resource has the metadata of its pods. Later ones come
// over earlier ones.
type podSource struct {
	role Role // whose; UnknownRole: everybody's
	path []string
}

// podSources are those of each kind. Flink's operator merges the podTemplate of a role
// into the common one, and hands Flink the configuration, whose labels come over those of
// templates. Spotify's has labels alone, and lyft's copies those of the resource itself.
var podSources = map[string][]podSource{
	"FlinkDeployment":          podTemplates("spec"),
	"FlinkBlueGreenDeployment": podTemplates("spec", "template", "spec"),
	"FlinkCluster":             {{JobManager, []string{"spec", "jobManager", "podLabels"}}, {TaskManager, []string{"spec", "taskManager", "podLabels"}}},
	"FlinkApplication":         {{UnknownRole, []string{"metadata", "labels"}}},
}

func podTemplates(spec ...string) []podSource {
	labels := func(path ...string) []string {
		return slices.Concat(spec, path, []string{"podTemplate", "metadata", "labels"})
	}
	return []podSource{{UnknownRole, labels()}, {JobManager, labels("jobManager")}, {TaskManager, labels("taskManager")}}
}

// configurations are where kinds have Flink's configuration.
var configurations = map[string][]string{
	"FlinkDeployment":          {"spec", "flinkConfiguration"},
	"FlinkBlueGreenDeployment": {"spec", "template", "spec", "flinkConfiguration"},
}

// The options of Flink that list labels of its pods. In native mode its client gives
// those of the JobManager to the Deployment, too.
const (
	OptionJobManagerLabels  = "kubernetes.jobmanager.labels"
	OptionTaskManagerLabels = "kubernetes.taskmanager.labels"
)

// PodLabelFields are the places where a custom resource states labels of its pods.
func PodLabelFields(kind string, object map[string]any) (all []LabelField) {
	for _, source := range podSources[kind] {
		all = appendLabelFields(all, source.path, labelsAt(object, source.path))
	}
	path := configurations[kind]
	if len(path) == 0 {
		return all
	}
	configuration, _ := at(object, path).(map[string]any)
	for _, option := range []string{OptionJobManagerLabels, OptionTaskManagerLabels} {
		visitOption(option, "", path, configuration, func(path []string, value string) {
			list := readList(value)
			for _, key := range IdentityLabels {
				if stated := list[key]; stated != "" {
					all = append(all, LabelField{Key: key, Value: stated, Path: path, List: value})
				}
			}
		}, func(path []string, key, value string) {
			if slices.Contains(IdentityLabels, key) && value != "" {
				all = append(all, LabelField{Key: key, Value: value, Path: path})
			}
		})
	}
	return all
}

func appendLabelFields(all []LabelField, path []string, labels map[string]string) []LabelField {
	for _, key := range IdentityLabels {
		if value := labels[key]; value != "" && len(path) > 0 {
			all = append(all, LabelField{Key: key, Value: value, Path: slices.Concat(path, []string{key})})
		}
	}
	return all
}

// Stated are the places where an object states labels: in its own metadata, and for its
// pods.
func (o *Object) LabelFields() []LabelField {
	all := appendLabelFields(nil, []string{"metadata", "labels"}, o.Labels)
	switch o.Kind {
	case "Pod", "Service", "ConfigMap": // Pod.Labels are those of the object
	case "FlinkApplication": // likewise PodLabelFields
	default:
		all = append(appendLabelFields(all, TemplateLabelsPath(o.Kind), o.Pod.Labels), o.PodLabelFields...)
	}
	return all
}

// TemplateLabelsPath is the path of the labels of the pods that a kind makes; nil if drey does
// not know it.
func TemplateLabelsPath(kind string) []string {
	switch kind {
	case "Pod":
		return []string{"metadata", "labels"}
	case "CronJob":
		return []string{"spec", "jobTemplate", "spec", "template", "metadata", "labels"}
	case "Deployment", "StatefulSet", "Job", "DaemonSet", "ReplicaSet", "ReplicationController", "Rollout":
		return []string{"spec", "template", "metadata", "labels"}
	}
	return nil
}

// IsController tells whether a kind of an apiVersion is one of those whose pods have their
// labels at [TemplateLabelsPath].
func IsController(apiVersion, kind string) bool {
	group, _, versioned := strings.Cut(apiVersion, "/")
	if !versioned {
		group = ""
	}
	switch kind {
	case "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet":
		return group == "apps"
	case "Job", "CronJob":
		return group == "batch"
	case "ReplicationController":
		return group == ""
	case "Rollout":
		return group == "argoproj.io"
	}
	return false
}

// PodLabels are the paths of the labels that every pod of a custom resource gets.
func PodLabelPaths(kind string) (paths [][]string) {
	sources := podSources[kind]
	for _, s := range sources {
		if s.role == UnknownRole {
			return [][]string{s.path}
		}
		paths = append(paths, s.path)
	}
	return paths
}

// JobManagerPod is the metadata of the pods of a custom resource: for labels, those that its
// JobManager gets.
func JobManagerPod(kind string, object map[string]any) Pod {
	var p Pod
	for _, source := range podSources[kind] {
		if source.role == TaskManager || source.path[0] == "metadata" {
			continue
		}
		p.Labels = merged(p.Labels, labelsAt(object, source.path))
		if last := len(source.path) - 1; source.path[last] == "labels" {
			p.Annotations = merged(p.Annotations, labelsAt(object, slices.Concat(source.path[:last], []string{"annotations"})))
		}
	}
	configuration, _ := at(object, configurations[kind]).(map[string]any)
	visitOption(OptionJobManagerLabels, "", nil, configuration, func(_ []string, value string) {
		p.Labels = merged(p.Labels, readList(value))
	}, func(_ []string, key, value string) {
		p.Labels = merged(p.Labels, map[string]string{key: value})
	})
	return p
}

func merged(under, over map[string]string) map[string]string {
	if len(under) == 0 {
		return over
	}
	all := maps.Clone(under)
	maps.Copy(all, over)
	return all
}

func at(object map[string]any, path []string) any {
	var node any = object
	for _, key := range path {
		inner, _ := node.(map[string]any)
		node = inner[key]
	}
	return node
}

// labelsAt are the strings of the map at a path. What has another type is skipped: the
// object may not have been validated yet.
func labelsAt(object map[string]any, path []string) map[string]string {
	var labels map[string]string
	found, _ := at(object, path).(map[string]any)
	for key, value := range found {
		if text, ok := value.(string); ok {
			if labels == nil {
				labels = make(map[string]string, len(found))
			}
			labels[key] = text
		}
	}
	return labels
}

// visitOption finds an option of Flink in its configuration. The configuration may be
// nested to any depth: the names along a path make the option's name, joined by dots. An
// option that lists pairs is one text, or has its keys below it.
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

// readList reads the pairs of an option that lists labels: k:v,k2:v2, or a map in YAML's
// flow style.
func readList(list string) map[string]string {
	pairs := map[string]string{}
	for _, entry := range entries(list) {
		if key, value, ok := pairOf(entry); ok {
			pairs[key] = value
		}
	}
	return pairs
}

// Without is an option's list of labels without some of its keys.
func RemoveFromList(list string, keys []string) string {
	var rest []string
	for _, entry := range entries(list) {
		if key, _, _ := pairOf(entry); !slices.Contains(keys, key) {
			rest = append(rest, strings.TrimSpace(entry))
		}
	}
	text := strings.Join(rest, ",")
	if strings.HasPrefix(strings.TrimSpace(list), "{") && text != "" {
		return "{" + text + "}"
	}
	return text
}

// entries splits a list. A label has no comma, so none of them stands for itself.
func entries(list string) []string {
	list = strings.TrimSpace(list)
	if inner, ok := strings.CutPrefix(list, "{"); ok {
		list = strings.TrimSuffix(inner, "}")
	}
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == '\n' })
}

func pairOf(entry string) (key, value string, ok bool) {
	key, value, ok = strings.Cut(entry, ":")
	const quotes = ` '"`
	return strings.Trim(key, quotes), strings.Trim(value, quotes), ok
}
