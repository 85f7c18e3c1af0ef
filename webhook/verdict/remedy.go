package verdict

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"drey.dev/drey/webhook/flink"
)

// remedy returns the command that corrects the labels of a workload's pods at their origin:
// the object in the cluster that creates the pods, else the manifest that was denied, else
// the options of Flink's client, which has no manifest. It removes the conflicting labels or,
// for an ambiguous target, sets the platform namespace.
func (v Verdict) remedy() string {
	w, o, value := v.workload, v.workload.Object, v.remedyValue()
	root, isOwned := v.podCreator()
	isClients := w.Flavor == flink.Native && o.Kind == "Deployment" && !o.FromManifest
	switch {
	case isOwned && flink.IsCustomResource(root.APIVersion, root.Kind):
		return v.patchCustomResource(root)
	case isOwned && root.Kind == "Job" && flink.IsController(root.APIVersion, root.Kind):
		return v.replaceJob(root)
	case isOwned && flink.IsController(root.APIVersion, root.Kind):
		return v.patchObject(root, v.remedyFields(flink.TemplateLabelsPath(root.Kind)))
	case isOwned:
		group, _, _ := strings.Cut(root.APIVersion, "/")
		return fmt.Sprintf("kubectl edit %s.%s %s -n %s", shellSafe(strings.ToLower(root.Kind), "KIND"), shellSafe(group, "GROUP"), shellSafe(root.Name, "NAME"), o.Namespace)
	case isClients && value == nil:
		return v.clientWithoutConflict()
	case isClients:
		return "run Flink's client again with " + clientOption(o, nil, LabelPlatformNamespace+":"+*value)
	case value == nil:
		return patchManifest(o, v.conflictFields, nil)
	case w.Flavor == flink.Custom:
		return patchManifest(o, v.remedyFields([]string{"metadata", "labels"}), value)
	default:
		return patchManifest(o, v.remedyFields(o.TemplateLabelsPath()), value)
	}
}

// remedyValue returns the platform namespace that the remedy sets, nil if it removes labels.
func (v Verdict) remedyValue() *string {
	if v.Reason == AmbiguousTarget {
		return &v.platform.candidates[0]
	}
	return nil
}

// podCreator returns the owner whose template the workload's pods come from. ok is false if
// that is the workload itself.
func (v Verdict) podCreator() (owner flink.Owner, ok bool) {
	w := v.workload
	for _, o := range w.Owners {
		if o.Kind == w.Root.Kind && o.Name == w.Root.Name {
			return o, true
		}
	}
	for _, ref := range w.Object.OwnerReferences {
		if ref.Kind == w.Root.Kind && ref.Name == w.Root.Name {
			return flink.Owner{APIVersion: ref.APIVersion, Kind: ref.Kind, Name: ref.Name, UID: ref.UID}, true
		}
	}
	if w.Object.Kind == "Pod" && w.Root.Kind == "Deployment" { // its name is derived from a ReplicaSet's
		return flink.Owner{APIVersion: "apps/v1", Kind: w.Root.Kind, Name: w.Root.Name}, true
	}
	return flink.Owner{}, false
}

// remedyFields returns the fields to set or remove in the pod labels at a path.
func (v Verdict) remedyFields(labels []string) (fields []flink.LabelField) {
	at := func(key string) flink.LabelField {
		return flink.LabelField{Key: key, Path: slices.Concat(labels, []string{key})}
	}
	if v.remedyValue() != nil {
		return []flink.LabelField{at(LabelPlatformNamespace)}
	}
	for _, c := range v.conflictFields {
		if !slices.ContainsFunc(fields, func(f flink.LabelField) bool { return f.Key == c.Key }) {
			fields = append(fields, at(c.Key))
		}
	}
	return fields
}

// patchCustomResource returns the command that patches a custom resource in the cluster, at
// the fields that set the conflicting labels.
func (v Verdict) patchCustomResource(root flink.Owner) string {
	for i, o := range v.workload.Owners {
		switch {
		case v.remedyValue() != nil || o.UID != root.UID || o.Unresolved:
		case len(v.ownerConflictFields[i]) > 0:
			return v.patchObject(root, v.ownerConflictFields[i])
		default:
			return fmt.Sprintf("%s %s does not set it: its operator has not recreated the pods yet, or sets it in its default configuration",
				resourceOf(root), shellSafe(root.Name, "NAME"))
		}
	}
	var fields []flink.LabelField
	for _, labels := range flink.PodLabelPaths(root.Kind) {
		fields = append(fields, v.remedyFields(labels)...)
	}
	return v.patchObject(root, fields)
}

func (v Verdict) patchObject(root flink.Owner, fields []flink.LabelField) string {
	return fmt.Sprintf("kubectl patch %s %s -n %s --type merge -p '%s'", resourceOf(root), shellSafe(root.Name, "NAME"), v.workload.Object.Namespace,
		quotedJSON(mergePatch(fields, v.remedyValue())))
}

// resourceOf returns the resource argument of kubectl for a kind. kubectl cannot resolve the
// short name of a Rollout without its group.
func resourceOf(o flink.Owner) string {
	if o.Kind == "Rollout" {
		return "rollout.argoproj.io"
	}
	return strings.ToLower(o.Kind)
}

// replaceJob returns the command that recreates a Job, whose template is immutable. The
// selector and the controller-uid labels are those of the old Job, so it removes them.
func (v Verdict) replaceJob(root flink.Owner) string {
	labels := flink.TemplateLabelsPath(root.Kind)
	fields := v.remedyFields(labels)
	if v.remedyValue() == nil { // the API server copies the template's labels to a Job without labels
		fields = append(fields, v.remedyFields([]string{"metadata", "labels"})...)
	}
	patch := mergePatch(fields, v.remedyValue())
	setPath(patch, []string{"spec", "selector"}, nil)
	for _, key := range []string{"controller-uid", "batch.kubernetes.io/controller-uid"} {
		setPath(patch, slices.Concat(labels, []string{key}), nil)
	}
	name := shellSafe(root.Name, "NAME")
	return fmt.Sprintf("kubectl get job %s -n %s -o json | kubectl patch --local -f - --type merge -p '%s' -o json | kubectl replace --force -f -",
		name, v.workload.Object.Namespace, quotedJSON(patch))
}

// clientWithoutConflict returns the options of Flink's client without the conflicting labels.
// The client writes the labels of kubernetes.jobmanager.labels into the Deployment and its
// template, and those of the pod template file into the template alone.
func (v Verdict) clientWithoutConflict() string {
	var listed []string
	for _, f := range v.conflictFields {
		if f.Path[0] == "metadata" {
			listed = append(listed, f.Key)
		}
	}
	if len(listed) == 0 {
		return fmt.Sprintf("run Flink's client again with another kubernetes.pod-template-file.jobmanager (or .default), without it: kubectl patch --local -f FILE --type merge -p '%s' -o yaml",
			quotedJSON(mergePatch(v.remedyFields([]string{"metadata", "labels"}), nil)))
	}
	return "run Flink's client again with " + clientOption(v.workload.Object, listed, "") + " , and " + flink.OptionTaskManagerLabels + " likewise"
}

// clientOption returns the client option that lists the labels of a native Deployment, without
// some keys and with an added key:value. Flink itself adds app, component and type.
func clientOption(o *flink.Object, without []string, added string) string {
	var list []string
	for _, key := range slices.Sorted(maps.Keys(o.Labels)) {
		switch {
		case slices.Contains([]string{LabelApp, flink.LabelComponent, flink.LabelType}, key), slices.Contains(without, key):
		case len(validation.IsQualifiedName(key)) > 0, len(validation.IsValidLabelValue(o.Labels[key])) > 0: // the API server validates after admission
		default:
			list = append(list, key+":"+o.Labels[key])
		}
	}
	if added != "" {
		list = append(list, added)
	}
	return "-D" + flink.OptionJobManagerLabels + "=" + strings.Join(list, ",")
}

// patchManifest returns the command that sets or removes fields of a manifest, or the fields to
// edit if it has the object in another one or in a list, where a merge patch does not reach.
func patchManifest(o *flink.Object, fields []flink.LabelField, value *string) string {
	inList := slices.ContainsFunc(o.TemplatePath, func(name string) bool { return strings.Trim(name, "0123456789") == "" })
	if o.HeldAt == "" && !inList {
		return fmt.Sprintf("kubectl patch --local -f FILE --type merge -p '%s' -o yaml | kubectl apply -n %s -f -", quotedJSON(mergePatch(fields, value)), o.Namespace)
	}
	var edits []string
	for _, f := range fields {
		path := strings.TrimPrefix(o.HeldAt+"."+strings.Join(f.Path, "."), ".")
		switch {
		case value != nil:
			edits = append(edits, fmt.Sprintf("set %s to %s", path, *value))
		case f.List != "":
			edits = append(edits, fmt.Sprintf("remove %s from %s", f.Key, path))
		default:
			edits = append(edits, "remove "+path)
		}
	}
	return "edit FILE: " + strings.Join(edits, ", ")
}
