// Package repair brings pods that were missed to what the verdict says, and tells
// what runs where it may not. It never removes anything.
package repair

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"drey.dev/drey/webhook"
	"drey.dev/drey/webhook/flink"
	"drey.dev/drey/webhook/verdict"
)

// Owners finds who owns a workload, as package owners does.
type Owners interface {
	Of(ctx context.Context, o *flink.Object) (relatives []flink.Relative, complete bool)
}

// Inspector asks of what is there already what the webhooks ask of what comes.
type Inspector struct {
	Client  dynamic.Interface
	Owners  Owners
	Known   verdict.Known
	Exclude []string // Kubernetes namespaces that are left alone

	// Skip tells whether a scan may go on without Flink's custom resources of a kind
	// that cannot be listed; nil: never.
	Skip func(resource schema.GroupVersionResource, err error) bool
}

// Finding is an object and what would become of it if it came now.
type Finding struct {
	Verdict verdict.Verdict
	UID     types.UID
	version string
	ending  bool // it is being deleted
}

// Missing are the labels that it lacks. What is being deleted needs none.
func (f Finding) Missing() []verdict.Label {
	if !f.Verdict.Allowed || f.ending {
		return nil
	}
	return f.Verdict.Add
}

// Misplaced says that it runs where it may not, or claims to be another.
func (f Finding) Misplaced() bool { return !f.Verdict.Allowed && !f.ending }

var pods = schema.GroupVersionResource{Version: "v1", Resource: "pods"}

// Pod looks at one pod. ok is false if it is gone.
func (i *Inspector) Pod(ctx context.Context, namespace, name string) (f Finding, ok bool, err error) {
	o, err := i.Client.Resource(pods).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return f, false, nil
	}
	if err != nil {
		return f, false, err
	}
	f, err = i.look(ctx, o)
	return f, err == nil, err
}

func (i *Inspector) look(ctx context.Context, o *unstructured.Unstructured) (Finding, error) {
	text, err := o.MarshalJSON()
	if err != nil {
		return Finding{}, err
	}
	w, _, err := webhook.Recognize(o.GetAPIVersion(), o.GetKind(), o.GetNamespace(), text)
	if err != nil {
		return Finding{}, err
	}
	if w.Recognized() {
		w = w.With(i.Owners.Of(ctx, w.Object))
	}
	return Finding{
		Verdict: verdict.Decide(w, i.Known), UID: o.GetUID(), version: o.GetResourceVersion(), ending: o.GetDeletionTimestamp() != nil,
	}, nil
}

// ErrChanged says that an object is not as it was when it was looked at.
var ErrChanged = errors.New("it has changed since it was looked at")

// Label adds what is missing. What has come since it was looked at is not
// overwritten: then it is [ErrChanged], and to be looked at anew.
func (i *Inspector) Label(ctx context.Context, f Finding) error {
	type operation struct {
		Op    string `json:"op"`
		Path  string `json:"path"`
		Value any    `json:"value"`
	}
	patch := []operation{{"test", "/metadata/uid", f.UID}, {"test", "/metadata/resourceVersion", f.version}}
	if len(f.Verdict.Object().Labels) == 0 {
		patch = append(patch, operation{"add", "/metadata/labels", map[string]string{}})
	}
	for _, l := range f.Missing() {
		patch = append(patch, operation{"add", "/metadata/labels/" + l.Key, l.Value})
	}
	text, err := json.Marshal(patch)
	if err != nil {
		return err
	}
	o := f.Verdict.Object()
	_, err = i.Client.Resource(pods).Namespace(o.Namespace).Patch(ctx, o.Name, types.JSONPatchType, text, metav1.PatchOptions{FieldManager: "drey"})
	switch {
	case apierrors.IsNotFound(err):
		return nil // gone: nothing is missing any more
	case apierrors.IsInvalid(err), apierrors.IsConflict(err): // a test that fails is one or the other
		return fmt.Errorf("label pod %s/%s: %w", o.Namespace, o.Name, ErrChanged)
	case err != nil:
		return fmt.Errorf("label pod %s/%s: %w", o.Namespace, o.Name, err)
	}
	return nil
}
