package verdict

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"drey.dev/drey/webhook/flink"
)

// remedy is the command that mends the labels of a workload's pods where they come from.
// It takes off what is another's or, with a value, sets the platform namespace.
//
// That is the object in the cluster that the pods are made of, or the manifest that was
// just refused, or the options of Flink's client, which has no manifest.
func (v Verdict) remedy(value string) string {
	w, o := v.workload, v.workload.Object
	root, isOwned := v.root()
	switch {
	case isOwned && flink.IsCustomResource(root.APIVersion, root.Kind):
		return v.patchCustom(root, value)
	case isOwned && root.Kind == "Job" && flink.IsController(root.APIVersion, root.Kind):
		return v.replaceJob(root, value)
	case isOwned && flink.IsController(root.APIVersion, root.Kind):
		return v.patch(root, v.ofPods(flink.TemplateLabelsPath(root.Kind), value))
	case isOwned:
		group, _, _ := strings.Cut(root.APIVersion, "/")
		return fmt.Sprintf("kubectl edit %s.%s %s -n %s", shellSafe(strings.ToLower(root.Kind), "KIND"), shellSafe(group, "GROUP"), shellSafe(root.Name, "NAME"), o.Namespace)
	case value == "" && w.Flavor == flink.Native && o.Kind == "Deployment" && !o.FromManifest:
		return v.clientWithout()
	case w.Flavor == flink.Native && o.Kind == "Deployment" && !o.FromManifest:
		return "run Flink's client again with " + clientOption(o, nil, LabelPlatformNamespace+":"+value)
	case value == "":
		return localPatch(v.stray, nil, o.Namespace)
	case w.Flavor == flink.Custom:
		return localPatch(v.ofPods([]string{"metadata", "labels"}, value), &value, o.Namespace)
	default:
		return localPatch(v.ofPods(flink.TemplateLabelsPath(o.Kind), value), &value, o.Namespace)
	}
}

// root is the owner of which the workload's pods are made; ok is false if that is the
// workload itself.
func (v Verdict) root() (owner flink.Owner, ok bool) {
	w := v.workload
	for _, r := range w.Owners {
		if r.Kind == w.Root.Kind && r.Name == w.Root.Name {
			return r, true
		}
	}
	for _, ref := range w.Object.OwnerReferences {
		if ref.Kind == w.Root.Kind && ref.Name == w.Root.Name {
			return flink.Owner{APIVersion: ref.APIVersion, Kind: ref.Kind, Name: ref.Name, UID: ref.UID}, true
		}
	}
	if w.Object.Kind == "Pod" && w.Root.Kind == "Deployment" { // a ReplicaSet's
		return flink.Owner{APIVersion: "apps/v1", Kind: w.Root.Kind, Name: w.Root.Name}, true
	}
	return flink.Owner{}, false
}

// ofPods are the places at which pods get what is to be set, or taken off.
func (v Verdict) ofPods(labels []string, value string) (places []flink.LabelField) {
	at := func(key string) flink.LabelField {
		return flink.LabelField{Key: key, Path: slices.Concat(labels, []string{key})}
	}
	if value != "" {
		return []flink.LabelField{at(LabelPlatformNamespace)}
	}
	for _, s := range v.stray {
		if !slices.ContainsFunc(places, func(p flink.LabelField) bool { return p.Key == s.Key }) {
			places = append(places, at(s.Key))
		}
	}
	return places
}

// patchCustom patches a custom resource in the cluster, where it states what is another's.
func (v Verdict) patchCustom(root flink.Owner, value string) string {
	for i, r := range v.workload.Owners {
		switch {
		case value != "" || r.UID != root.UID || r.Unresolved:
		case len(v.ownersStray[i]) > 0:
			return v.patch(root, v.ownersStray[i])
		default:
			return fmt.Sprintf("%s %s does not state it: its operator has yet to recreate the pods, or states it in its own default configuration",
				resourceOf(root), shellSafe(root.Name, "NAME"))
		}
	}
	var places []flink.LabelField
	for _, labels := range flink.PodLabelPaths(root.Kind) {
		places = append(places, v.ofPods(labels, value)...)
	}
	return v.patch(root, places)
}

func (v Verdict) patch(root flink.Owner, places []flink.LabelField) string {
	return fmt.Sprintf("kubectl patch %s %s -n %s --type merge -p '%s'", resourceOf(root), shellSafe(root.Name, "NAME"), v.workload.Object.Namespace, mergePatch(places, v.setTo()))
}

// setTo is the value that the remedy sets; nil if it takes something off.
func (v Verdict) setTo() *string {
	if v.Reason == AmbiguousTarget {
		return &v.platform.candidates[0]
	}
	return nil
}

// resourceOf is how kubectl calls a kind. Rollouts are of a group that kubectl does not
// know by itself.
func resourceOf(r flink.Owner) string {
	if r.Kind == "Rollout" {
		return "rollout.argoproj.io"
	}
	return strings.ToLower(r.Kind)
}

// replaceJob recreates a Job: its template cannot be changed. The API server selects its
// pods by a uid, which it writes into the template.
func (v Verdict) replaceJob(root flink.Owner, value string) string {
	labels := flink.TemplateLabelsPath(root.Kind)
	places := v.ofPods(labels, value)
	if value == "" { // what a Job has no labels of gets its template's
		places = append(places, v.ofPods([]string{"metadata", "labels"}, "")...)
	}
	patch := nested(places, v.setTo())
	put(patch, []string{"spec", "selector"}, nil)
	for _, key := range []string{"controller-uid", "batch.kubernetes.io/controller-uid"} {
		put(patch, slices.Concat(labels, []string{key}), nil)
	}
	name := shellSafe(root.Name, "NAME")
	return fmt.Sprintf("kubectl get job %s -n %s -o json | kubectl patch --local -f - --type merge -p '%s' -o json | kubectl replace --force -f -", name, v.workload.Object.Namespace, quoted(patch))
}

// clientWithout is how Flink's client leaves a label out. It writes its option's labels
// into the metadata of the Deployment, and into its template beside those of the pod
// template file.
func (v Verdict) clientWithout() string {
	o := v.workload.Object
	var listed []string
	for _, s := range v.stray {
		if s.Path[0] == "metadata" {
			listed = append(listed, s.Key)
		}
	}
	if len(listed) == 0 {
		return fmt.Sprintf("run Flink's client again with another kubernetes.pod-template-file.jobmanager (or .default), without it: kubectl patch --local -f FILE --type merge -p '%s' -o yaml",
			mergePatch(v.ofPods([]string{"metadata", "labels"}, ""), nil))
	}
	return "run Flink's client again with " + clientOption(o, listed, "") + " , and " + flink.OptionTaskManagerLabels + " likewise"
}

// clientOption is the option that lists the labels that a Deployment of Flink's client has
// from it, without some and with another. Flink adds app, component and type itself.
func clientOption(o *flink.Object, without []string, another string) string {
	var list []string
	for _, key := range slices.Sorted(maps.Keys(o.Labels)) {
		switch {
		case slices.Contains([]string{LabelApp, "component", "type"}, key), slices.Contains(without, key):
		case len(validation.IsQualifiedName(key)) > 0, len(validation.IsValidLabelValue(o.Labels[key])) > 0: // the API server has not looked yet
		default:
			list = append(list, key+":"+o.Labels[key])
		}
	}
	if another != "" {
		list = append(list, another)
	}
	return "-D" + flink.OptionJobManagerLabels + "=" + strings.Join(list, ",")
}

func localPatch(places []flink.LabelField, value *string, namespace string) string {
	return fmt.Sprintf("kubectl patch --local -f FILE --type merge -p '%s' -o yaml | kubectl apply -n %s -f -", mergePatch(places, value), namespace)
}

// mergePatch sets places to a value, or takes off what they state.
func mergePatch(places []flink.LabelField, value *string) string {
	return quoted(nested(places, value))
}

// quoted is a patch between the single quotes of a shell.
func quoted(patch map[string]any) string {
	text, _ := json.Marshal(patch) // maps and strings only: it cannot fail
	return strings.ReplaceAll(string(text), "'", `\u0027`)
}

func nested(places []flink.LabelField, value *string) map[string]any {
	patch := map[string]any{}
	for _, p := range places {
		switch {
		case value != nil:
			put(patch, p.Path, *value)
		case p.List != "":
			put(patch, p.Path, rest(p, places))
		default:
			put(patch, p.Path, nil)
		}
	}
	return patch
}

// rest is what is left of an option without all that places state in it: nil for nothing.
func rest(of flink.LabelField, places []flink.LabelField) any {
	var keys []string
	for _, p := range places {
		if slices.Equal(p.Path, of.Path) {
			keys = append(keys, p.Key)
		}
	}
	if left := flink.RemoveFromList(of.List, keys); left != "" {
		return left
	}
	return nil
}

func put(patch map[string]any, path []string, value any) {
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
