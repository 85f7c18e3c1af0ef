package flink

import (
	"maps"
	"slices"
	"strings"
)

// podMetadata is where a custom resource has labels of its pods. Annotations are beside the
// labels.
type podMetadata struct {
	role   Role // UnknownRole: both
	labels []string
}

// podMetadataPaths has the labels of pods by kind; later ones override earlier ones. Flink's
// operator merges the podTemplate of a role into the common one. Spotify's has labels only,
// and lyft's copies the labels of the custom resource.
var podMetadataPaths = map[string][]podMetadata{
	"FlinkDeployment":          podTemplates("spec"),
	"FlinkBlueGreenDeployment": podTemplates("spec", "template", "spec"),
	"FlinkCluster":             {{JobManager, []string{"spec", "jobManager", "podLabels"}}, {TaskManager, []string{"spec", "taskManager", "podLabels"}}},
	"FlinkApplication":         {{UnknownRole, []string{"metadata", "labels"}}},
}

func podTemplates(spec ...string) []podMetadata {
	labels := func(path ...string) []string {
		return slices.Concat(spec, path, []string{"podTemplate", "metadata", "labels"})
	}
	return []podMetadata{{UnknownRole, labels()}, {JobManager, labels("jobManager")}, {TaskManager, labels("taskManager")}}
}

// configurationPaths has the path of Flink's configuration by kind. Its labels override those
// of templates.
var configurationPaths = map[string][]string{
	"FlinkDeployment":          {"spec", "flinkConfiguration"},
	"FlinkBlueGreenDeployment": {"spec", "template", "spec", "flinkConfiguration"},
}

// TemplateLabelsPath returns the path of the pod labels in an object of a built-in kind or a
// Rollout, nil for other kinds.
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

// IsController reports whether a kind of an apiVersion is a controller whose pod labels are at
// [TemplateLabelsPath].
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

// PodLabelPaths returns the paths of the labels that together reach every pod of a custom
// resource.
func PodLabelPaths(kind string) (paths [][]string) {
	for _, m := range podMetadataPaths[kind] {
		if m.role == UnknownRole {
			return [][]string{m.labels}
		}
		paths = append(paths, m.labels)
	}
	return paths
}

// JobManagerPod returns the labels and annotations that a custom resource sets on its
// JobManager's pod.
func JobManagerPod(kind string, object map[string]any) Pod {
	var p Pod
	for _, m := range podMetadataPaths[kind] {
		if m.role == TaskManager || m.labels[0] == "metadata" {
			continue
		}
		p.Labels = merged(p.Labels, labelsAt(object, m.labels))
		if last := len(m.labels) - 1; m.labels[last] == "labels" {
			p.Annotations = merged(p.Annotations, labelsAt(object, slices.Concat(m.labels[:last], []string{"annotations"})))
		}
	}
	configuration, _ := valueAt(object, configurationPaths[kind]).(map[string]any)
	visitOption(OptionJobManagerLabels, "", nil, configuration, func(_ []string, value string) {
		p.Labels = merged(p.Labels, parseList(value))
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

func valueAt(object map[string]any, path []string) any {
	var node any = object
	for _, key := range path {
		inner, _ := node.(map[string]any)
		node = inner[key]
	}
	return node
}

// labelsAt returns the strings of the map at a path, and skips other types: the object is not
// validated before admission.
func labelsAt(object map[string]any, path []string) map[string]string {
	var labels map[string]string
	found, _ := valueAt(object, path).(map[string]any)
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
