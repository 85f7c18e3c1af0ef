package flink

import "slices"

// IdentityLabels are the labels that assign a workload to a platform namespace and to an
// object in it.
var IdentityLabels = []string{LabelPlatformNamespace, LabelDeploymentID, LabelSessionClusterID}

// LabelField is a field of a manifest that sets one of [IdentityLabels].
type LabelField struct {
	Key, Value string
	Path       []string // of the label, or of the Flink option that lists it

	// List is the value of the Flink option that lists the label, such as
	// team:blue,vvpNamespace:a. Empty: the field is the label's own.
	List string
}

// LabelFields returns the fields of an object that set identity labels: on itself and on its
// pods.
func (o *Object) LabelFields() []LabelField {
	if o.TemplatePath != nil { // Labels are those of the template
		return appendLabelFields(nil, o.TemplateLabelsPath(), o.Pod.Labels)
	}
	all := appendLabelFields(nil, []string{"metadata", "labels"}, o.Labels)
	switch o.Kind {
	case "Pod", "Service", "ConfigMap": // Pod.Labels are the same
	case "FlinkApplication": // PodLabelFields are the same
	default:
		all = append(appendLabelFields(all, TemplateLabelsPath(o.Kind), o.Pod.Labels), o.PodLabelFields...)
	}
	return all
}

// PodLabelFields returns the fields of a custom resource that set identity labels on its pods.
func PodLabelFields(kind string, object map[string]any) (all []LabelField) {
	for _, m := range podMetadataPaths[kind] {
		all = appendLabelFields(all, m.labels, labelsAt(object, m.labels))
	}
	path := configurationPaths[kind]
	if len(path) == 0 {
		return all
	}
	configuration, _ := valueAt(object, path).(map[string]any)
	for _, option := range []string{OptionJobManagerLabels, OptionTaskManagerLabels} {
		visitOption(option, "", path, configuration, func(path []string, value string) {
			list := parseList(value)
			for _, key := range IdentityLabels {
				if label := list[key]; label != "" {
					all = append(all, LabelField{Key: key, Value: label, Path: path, List: value})
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
