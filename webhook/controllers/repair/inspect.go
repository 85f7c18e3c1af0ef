// Package repair labels the objects that admission missed: pods, workloads, and the
// Services and ConfigMaps of Flink clusters. It reports workloads that admission would
// deny, and never deletes anything.
package repair

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"

	"drey.dev/drey/webhook"
	"drey.dev/drey/webhook/flink"
	"drey.dev/drey/webhook/verdict"
)

// Inspector applies the verdict of the webhooks to objects in the cluster.
type Inspector struct {
	Client   dynamic.Interface
	Metadata metadata.Interface // reads Services and ConfigMaps, and writes labels
	Owners   webhook.Finder
	Known    verdict.State
	Exclude  []string // Kubernetes namespaces that are skipped

	// Skip reports whether a scan continues without a kind that it cannot list: Services,
	// ConfigMaps or one of Flink's custom resources. If nil, the scan fails.
	Skip func(resource schema.GroupVersionResource, err error) bool
}

// Finding is an object and the verdict on it, as if it were created now.
type Finding struct {
	Verdict     verdict.Verdict
	UID         types.UID
	source      source
	version     string
	terminating bool
	awaitsOwner bool // its labels depend on those of its owner, which has none yet

	ownersResolved bool            // all its owners were found
	strict         verdict.Verdict // without the labels of its owners
}

// Missing returns the labels that the object lacks. A terminating object needs none. An
// object other than a pod with the labels that all admitted ones have lacks none: those
// made from its uid are not set at admission, when it has no uid.
func (f Finding) Missing() []verdict.Label {
	if !f.Verdict.Allowed || f.terminating || !f.source.labeled {
		return nil
	}
	have := f.Verdict.Object().Labels
	if f.source != podSource && have[verdict.LabelSystem] != "" && have[verdict.LabelPlatformNamespace] != "" {
		return kindAlone(f.Verdict.Add)
	}
	return f.Verdict.Add
}

// kindAlone returns the label that earlier versions did not set.
func kindAlone(labels []verdict.Label) []verdict.Label {
	for _, l := range labels {
		if l.Key == verdict.LabelKind {
			return []verdict.Label{l}
		}
	}
	return nil
}

// Wrong returns the labels of a pod that its process contradicts. Only [Inspector.Correct]
// removes them.
func (f Finding) Wrong() []verdict.Label {
	if !f.Verdict.Allowed || f.terminating {
		return nil
	}
	return f.Verdict.WrongMode
}

// Misplaced reports whether the verdict denies the object: its namespace has no target, or
// its labels are another's. Services and ConfigMaps are never misplaced.
func (f Finding) Misplaced() bool {
	return !f.Verdict.Allowed && !f.terminating && !f.source.metadataOnly
}

// Conflict returns the denial of an object with the id or the platform namespace of another:
// it, or an owner with that label, was created during an outage of drey. It is only reported.
func (f Finding) Conflict() (v verdict.Verdict, ok bool) {
	return f.strict, f.strict.Reason == verdict.LabelConflict && !f.terminating && !f.source.metadataOnly
}

// AwaitsOwner reports whether the object must be labeled after its owner, whose labels
// distinguish an application from a session.
func (f Finding) AwaitsOwner() bool { return f.awaitsOwner }

// Workload reports whether the object is a Flink pod or creates Flink pods.
func (f Finding) Workload() bool {
	return !f.source.metadataOnly && f.Verdict.Workload().Recognized()
}

// Pod inspects one pod. ok is false if it does not exist.
func (i *Inspector) Pod(ctx context.Context, namespace, name string) (f Finding, ok bool, err error) {
	return i.get(ctx, podSource, namespace, name)
}

// get reads one object and decides on it. ok is false if it does not exist.
func (i *Inspector) get(ctx context.Context, s source, namespace, name string) (f Finding, ok bool, err error) {
	o, err := i.Client.Resource(s.resource).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return f, false, nil
	}
	if err != nil {
		return f, false, err
	}
	f, err = i.inspect(ctx, s, o)
	return f, err == nil, err
}

// inspect decides on an object, or on its metadata.
func (i *Inspector) inspect(ctx context.Context, s source, o metav1.Object) (Finding, error) {
	text, err := json.Marshal(o)
	if err != nil {
		return Finding{}, err
	}
	w, _, err := webhook.Recognize(s.resource.GroupVersion().String(), s.kind, o.GetNamespace(), text)
	if err != nil {
		return Finding{}, err
	}
	ownersResolved := true
	if w.Recognized() {
		w, ownersResolved = webhook.WithOwners(ctx, w, i.Owners, i.Known)
	}
	awaitsOwner := s.metadataOnly && w.Mode == flink.UnknownMode && len(w.Owners) > 0 && w.Owners[0].Labels[verdict.LabelSystem] == ""
	f := Finding{
		awaitsOwner: awaitsOwner, Verdict: verdict.Decide(w, i.Known), UID: o.GetUID(), source: s, version: o.GetResourceVersion(), terminating: o.GetDeletionTimestamp() != nil,
		ownersResolved: ownersResolved,
	}
	f.strict = f.Verdict
	if ownersResolved {
		f.strict = f.Verdict.IgnoreOwnerLabels(i.Known)
	}
	return f, nil
}

// mayConflict reports, from the metadata and the owners of an object, whether
// [Finding.Conflict] may be true for it.
func (i *Inspector) mayConflict(ctx context.Context, s source, o metav1.Object) (bool, error) {
	text, err := json.Marshal(o)
	if err != nil {
		return false, err
	}
	w, _, err := webhook.Recognize(s.resource.GroupVersion().String(), s.kind, o.GetNamespace(), text)
	if err != nil || !verdict.MayConflict(w, i.Known) {
		return false, err
	}
	w.Owners, _ = i.Owners.Of(ctx, w.Object) // most have the UID of an owner
	return verdict.MayConflict(w, i.Known), nil
}

// errAwaitsOwner means that the owner of the object must be labeled first.
var errAwaitsOwner = errors.New("its owner has no labels yet")

// ErrChanged means that the object has changed since it was inspected.
var ErrChanged = errors.New("it has changed since it was inspected")

// Label adds the missing labels to metadata.labels, and changes nothing else. It returns
// [ErrChanged] if the object has changed since; inspect it again then.
func (i *Inspector) Label(ctx context.Context, f Finding) error {
	return i.patch(ctx, f, nil)
}

// Correct is [Inspector.Label] that also removes the wrong labels, for an admin: the
// controller only adds labels.
func (i *Inspector) Correct(ctx context.Context, f Finding) error {
	return i.patch(ctx, f, f.Wrong())
}

func (i *Inspector) patch(ctx context.Context, f Finding, remove []verdict.Label) error {
	text, err := labelPatch(f.UID, f.version, len(f.Verdict.Object().Labels) > 0, f.Missing(), remove)
	if err != nil {
		return err
	}
	o := f.Verdict.Object()
	_, err = i.Metadata.Resource(f.source.resource).Namespace(o.Namespace).Patch(ctx, o.Name, types.JSONPatchType, text, metav1.PatchOptions{FieldManager: "drey"})
	switch {
	case apierrors.IsNotFound(err):
		return nil // deleted
	case apierrors.IsInvalid(err), apierrors.IsConflict(err): // a failed test operation is one or the other
		return fmt.Errorf("label %s %s/%s: %w", f.source.kind, o.Namespace, o.Name, ErrChanged)
	case err != nil:
		return fmt.Errorf("label %s %s/%s: %w", f.source.kind, o.Namespace, o.Name, err)
	}
	return nil
}

// labelPatch returns the JSON patch that adds labels to an object and removes some. It
// fails unless the object has the uid and the resourceVersion.
func labelPatch(uid types.UID, version string, hasLabels bool, add, remove []verdict.Label) ([]byte, error) {
	type operation struct {
		Op    string `json:"op"`
		Path  string `json:"path"`
		Value any    `json:"value"`
	}
	patch := []operation{{"test", "/metadata/uid", uid}, {"test", "/metadata/resourceVersion", version}}
	if !hasLabels {
		patch = append(patch, operation{"add", "/metadata/labels", map[string]string{}})
	}
	for _, l := range remove {
		patch = append(patch, operation{Op: "remove", Path: "/metadata/labels/" + pointerEscaper.Replace(l.Key)})
	}
	for _, l := range add {
		patch = append(patch, operation{"add", "/metadata/labels/" + pointerEscaper.Replace(l.Key), l.Value})
	}
	return json.Marshal(patch)
}

// pointerEscaper escapes a key for a JSON pointer (RFC 6901).
var pointerEscaper = strings.NewReplacer("~", "~0", "/", "~1")
