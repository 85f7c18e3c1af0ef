package owners

import (
	"context"
	"errors"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/cache"

	"drey.dev/drey/webhook/flink"
)

// releasingKinds are the controllers that release a pod which their selector does not match,
// and create another one. A Deployment, which controls the TaskManagers of native mode, does
// not; the selector of a ReplicationController cannot exclude a label.
var releasingKinds = []kind{replicaSets, statefulSets, daemonSets, jobs}

func (k kind) releasesPods() bool { return slices.Contains(releasingKinds, k) }

// selectorKey identifies a controller. The name alone would match a later one of the same
// name, and a pod's author can write any UID.
type selectorKey struct {
	kind                 kind
	namespace, name, uid string
}

// excludedKeys returns the label keys that the selector of a pod's controller requires to be
// absent, or not to have some values. unknown is true if the selector could not be read: the
// pod stays unlabeled then, and repair labels it later, whereas a released pod does not
// return to its controller.
//
// A selector is immutable, so it is read once per controller. It is read from the controller,
// not from its owner: only its selector matters, and its UID identifies it. See
// docs/explanation/decisions/008-labels-excluded-by-selectors.md.
func (o *Owners) excludedKeys(ctx context.Context, pod *flink.Object) (keys []string, unknown bool) {
	ref, controlled := flink.ControllerOf(pod.OwnerReferences)
	k, releases := kindIn(releasingKinds, ref)
	if !controlled || !releases {
		return nil, false
	}
	id := selectorKey{k, pod.Namespace, ref.Name, ref.UID}
	if keys, ok := o.selectors.get(id); ok {
		return keys, false
	}
	_, err, ok := o.lookups.get(k, pod.Namespace, ref.Name)
	if !ok || err == nil { // an earlier read whose selector has left the cache
		_, err = o.lookup(ctx, k, pod.Namespace, ref.Name, ref.UID)
	}
	if errors.Is(err, errNotFound) {
		return nil, false // no controller would release the pod
	}
	if err != nil {
		o.log.Warn("selector not read: the pod is not labeled", "namespace", pod.Namespace, "kind", ref.Kind, "name", ref.Name, "error", err)
		return nil, true
	}
	keys, _ = o.selectors.get(id)
	return keys, false
}

const (
	maxSelectors = 10_000    // some hundred bytes each
	selectorTTL  = time.Hour // evicts deleted controllers
)

// selectors caches the excluded label keys of controllers.
type selectors struct{ cache *cache.LRUExpireCache }

func newSelectors() selectors { return selectors{cache.NewLRUExpireCache(maxSelectors)} }

func (s selectors) get(id selectorKey) (keys []string, ok bool) {
	v, ok := s.cache.Get(id)
	if !ok {
		return nil, false
	}
	return v.([]string), true
}

func (s selectors) add(k kind, u *unstructured.Unstructured) {
	s.cache.Add(selectorKey{k, u.GetNamespace(), u.GetName(), string(u.GetUID())}, keysExcludedBy(u), selectorTTL)
}

// keysExcludedBy returns the keys of the requirements that a pod may fail once it gets a
// label. All others require labels that the pod has, and drey changes none of those.
func keysExcludedBy(controller *unstructured.Unstructured) (keys []string) {
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
