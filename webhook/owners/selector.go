package owners

import (
	"context"
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/cache"

	"drey.dev/drey/webhook/flink"
)

// claiming are the kinds whose controllers let go of a pod that their selector does
// not match, and make another in its place. A Deployment, which controls the
// TaskManagers of native mode, does not ask; a ReplicationController's selector can
// only want labels to be there.
var claiming = []kind{replicaSets, statefulSets, daemonSets, jobs}

// controller is one whose selector was read. The name alone is not enough: another of
// the same name may come. Nor is the uid, which the author of a pod may state.
type controller struct {
	kind                 kind
	namespace, name, uid string
}

// denied returns the label keys that the selector of a pod's controller wants absent,
// or without some values. It may deny all, if it could not be read: a pod without
// labels gets them later, and one that its controller has lost does not come back.
//
// A selector never changes, so it is read once for all pods of its controller. It is
// read from the controller itself: that has a uid, and there is nobody else whose
// selector counts. See docs/decisions/008-selectors-that-want-a-label-absent.md.
func (o *Owners) denied(ctx context.Context, pod *flink.Object) (keys []string, all bool) {
	ref, controlled := flink.ControllerOf(pod.OwnerReferences)
	k, claims := among(claiming, ref)
	if !controlled || !claims {
		return nil, false
	}
	id := controller{k, pod.Namespace, ref.Name, ref.UID}
	if keys, ok := o.selectors.get(id); ok {
		return keys, false
	}
	_, err, ok := o.asked.get(k, pod.Namespace, ref.Name)
	if !ok || err == nil { // it was read before, and its selector is not in the cache
		_, err = o.ask(ctx, k, pod.Namespace, ref.Name, ref.UID)
	}
	if errors.Is(err, errGone) {
		return nil, false // nobody claims its pods
	}
	if err != nil {
		o.log.Warn("selector not read: a pod goes without labels", "namespace", pod.Namespace, "kind", ref.Kind, "name", ref.Name, "error", err)
		return nil, true
	}
	keys, _ = o.selectors.get(id)
	return keys, false
}

const (
	mostSelectors = 10_000    // controllers, at some hundred bytes each
	selectorAge   = time.Hour // then those that are gone go too
)

// selectors are the keys that controllers want absent.
type selectors struct{ recent *cache.LRUExpireCache }

func newSelectors() selectors { return selectors{cache.NewLRUExpireCache(mostSelectors)} }

func (s selectors) get(id controller) (keys []string, ok bool) {
	v, ok := s.recent.Get(id)
	if !ok {
		return nil, false
	}
	return v.([]string), true
}

func (s selectors) keep(k kind, u *unstructured.Unstructured) {
	s.recent.Add(controller{k, u.GetNamespace(), u.GetName(), string(u.GetUID())}, wantsAbsent(u), selectorAge)
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
