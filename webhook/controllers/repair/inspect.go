// Package repair brings what was missed to what the verdict says: pods, what makes
// them, and what Flink makes beside them. It tells what runs where it may not, and
// never removes anything.
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

// Inspector asks of what is there already what the webhooks ask of what comes.
type Inspector struct {
	Client   dynamic.Interface
	Metadata metadata.Interface // reads what is recognized by its metadata, and writes labels
	Owners   webhook.Finder
	Known    verdict.State
	Exclude  []string // Kubernetes namespaces that are left alone

	// Skip tells whether a scan may go on without Services, ConfigMaps or Flink's
	// custom resources of a kind that cannot be listed; nil: never.
	Skip func(resource schema.GroupVersionResource, err error) bool
}

// Finding is an object and what would become of it if it came now.
type Finding struct {
	Verdict verdict.Verdict
	UID     types.UID
	source  source
	version string
	ending  bool // it is being deleted
	early   bool // the labels of its owner, which it lacks yet, will say more
}

// Missing are the labels that it lacks. What is being deleted needs none. Beside a pod,
// an object that has what every admitted one gets lacks none: before it was stored it
// had no uid, and the labels that this makes.
func (f Finding) Missing() []verdict.Label {
	if !f.Verdict.Allowed || f.ending || !f.source.labeled {
		return nil
	}
	have := f.Verdict.Object().Labels
	if f.source != podSource && have[verdict.LabelSystem] != "" && have[verdict.LabelPlatformNamespace] != "" {
		return kindAlone(f.Verdict.Add)
	}
	return f.Verdict.Add
}

// kindAlone is the label that earlier versions did not have.
func kindAlone(labels []verdict.Label) []verdict.Label {
	for _, l := range labels {
		if l.Key == verdict.LabelKind {
			return []verdict.Label{l}
		}
	}
	return nil
}

// Wrong are labels that say of a pod what its process contradicts. The running drey
// leaves them: see [Inspector.Mend].
func (f Finding) Wrong() []verdict.Label {
	if !f.Verdict.Allowed || f.ending {
		return nil
	}
	return f.Verdict.WrongMode
}

// Misplaced says that it runs where it may not, or claims to be another. What runs
// nothing is never misplaced.
func (f Finding) Misplaced() bool {
	return !f.Verdict.Allowed && !f.ending && !f.source.metadataOnly
}

// Early says that it is to be labeled after its owner, whose labels say whether it
// belongs to an application or to a session.
func (f Finding) Early() bool { return f.early }

// Workload says that it runs, or makes what runs.
func (f Finding) Workload() bool { return !f.source.metadataOnly }

// Pod looks at one pod. ok is false if it is gone.
func (i *Inspector) Pod(ctx context.Context, namespace, name string) (f Finding, ok bool, err error) {
	o, err := i.Client.Resource(pods).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return f, false, nil
	}
	if err != nil {
		return f, false, err
	}
	f, err = i.look(ctx, podSource, o)
	return f, err == nil, err
}

// look decides on an object, or on its metadata.
func (i *Inspector) look(ctx context.Context, s source, o metav1.Object) (Finding, error) {
	text, err := json.Marshal(o)
	if err != nil {
		return Finding{}, err
	}
	w, _, err := webhook.Recognize(s.resource.GroupVersion().String(), s.kind, o.GetNamespace(), text)
	if err != nil {
		return Finding{}, err
	}
	if w.Recognized() {
		w, _ = webhook.WithOwners(ctx, w, i.Owners, i.Known)
	}
	early := s.metadataOnly && w.Mode == flink.UnknownMode && len(w.Owners) > 0 && w.Owners[0].Labels[verdict.LabelSystem] == ""
	return Finding{
		early: early, Verdict: verdict.Decide(w, i.Known), UID: o.GetUID(), source: s, version: o.GetResourceVersion(), ending: o.GetDeletionTimestamp() != nil,
	}, nil
}

// errEarly is of a [Finding.Early].
var errEarly = errors.New("its owner has no labels yet")

// ErrChanged says that an object is not as it was when it was looked at.
var ErrChanged = errors.New("it has changed since it was looked at")

// Label adds what is missing to metadata.labels, and changes nothing else. What has
// come since it was looked at is not overwritten: then it is [ErrChanged], and to be
// looked at again.
func (i *Inspector) Label(ctx context.Context, f Finding) error {
	return i.patch(ctx, f, nil)
}

// Mend is Label, and takes off what is wrong. An admin may want it; the running drey
// only ever adds.
func (i *Inspector) Mend(ctx context.Context, f Finding) error {
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
		return nil // gone: nothing is missing any more
	case apierrors.IsInvalid(err), apierrors.IsConflict(err): // a test that fails is one or the other
		return fmt.Errorf("label %s %s/%s: %w", f.source.kind, o.Namespace, o.Name, ErrChanged)
	case err != nil:
		return fmt.Errorf("label %s %s/%s: %w", f.source.kind, o.Namespace, o.Name, err)
	}
	return nil
}

// labelPatch is the JSON patch that adds labels to, and takes some off, the object that has a uid and a
// resourceVersion, and fails for any other.
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
		patch = append(patch, operation{Op: "remove", Path: "/metadata/labels/" + pointer.Replace(l.Key)})
	}
	for _, l := range add {
		patch = append(patch, operation{"add", "/metadata/labels/" + pointer.Replace(l.Key), l.Value})
	}
	return json.Marshal(patch)
}

// pointer escapes a key for a JSON pointer (RFC 6901).
var pointer = strings.NewReplacer("~", "~0", "/", "~1")
