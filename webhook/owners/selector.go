package owners

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"drey.dev/drey/webhook/flink"
)

// claiming are the kinds whose controllers let go of a pod that their selector does
// not match, and make another in its place. A Deployment, which controls the
// TaskManagers of native mode, does not ask; a ReplicationController's selector can
// only want labels to be there.
var claiming = []kind{
	{flink.CustomResource{Kind: "ReplicaSet", Group: "apps", Version: "v1", Resource: "replicasets"}, false},
	{flink.CustomResource{Kind: "StatefulSet", Group: "apps", Version: "v1", Resource: "statefulsets"}, false},
	{flink.CustomResource{Kind: "DaemonSet", Group: "apps", Version: "v1", Resource: "daemonsets"}, false},
	{flink.CustomResource{Kind: "Job", Group: "batch", Version: "v1", Resource: "jobs"}, false},
}

// denied returns the label keys that the selector of a pod's controller wants absent,
// or without some values. It may deny all, if it could not be read: a pod without
// labels gets them later, and one that its controller has lost does not come back.
//
// A selector never changes, so it is read once for all pods of its controller. It is
// read from the controller itself: that has a uid, and there is nobody else whose
// selector counts. See docs/decisions/008-selectors-that-want-a-label-absent.md.
func (o *Owners) denied(ctx context.Context, pod *flink.Object) (keys []string, all bool) {
	ref, controlled := flink.Controller(pod.Owners)
	k, claims := among(claiming, ref)
	if !controlled || !claims {
		return nil, false
	}
	if known, ok := o.denials.Get(ref.UID); ok {
		return known.([]string), false
	}
	controller, err := o.whole(ctx, k, pod.Namespace, ref.Name)
	switch {
	case apierrors.IsNotFound(err), err == nil && string(controller.GetUID()) != ref.UID:
		// It is gone, and a uid does not come back: nobody claims its pods.
		o.denials.Add(ref.UID, []string(nil), denialAge)
		return nil, false
	case err != nil:
		o.log.Warn("selector not read: a pod goes without labels", "namespace", pod.Namespace, "kind", ref.Kind, "name", ref.Name, "error", err)
		return nil, true
	}
	keys = wantsAbsent(controller)
	o.denials.Add(ref.UID, keys, denialAge)
	return keys, false
}

const (
	mostDenials = 10_000    // controllers, at some hundred bytes each
	denialAge   = time.Hour // then those that are gone go too
)

func (o *Owners) whole(ctx context.Context, k kind, namespace, name string) (*unstructured.Unstructured, error) {
	release, err := o.asked.turn(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	return o.dynamic.Resource(k.resource()).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
}

// wantsAbsent are the keys of the requirements that a pod may stop to meet when it gets
// a label: all others hold for labels that are there, and drey changes none of those.
func wantsAbsent(controller *unstructured.Unstructured) (keys []string) {
	expressions, _, _ := unstructured.NestedSlice(controller.Object, "spec", "selector", "matchExpressions")
	for _, e := range expressions {
		requirement, _ := e.(map[string]any)
		switch key, _ := requirement["key"].(string); requirement["operator"] {
		case "DoesNotExist", "NotIn":
			keys = append(keys, key)
		}
	}
	return keys
}
