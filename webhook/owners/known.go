package owners

import (
	"maps"
	"reflect"
	"slices"
	"time"

	"k8s.io/client-go/tools/cache"

	"drey.dev/drey/webhook/flink"
	"drey.dev/drey/webhook/runstate"
)

// Known is a cached object that owns Flink workloads: a Flink custom resource, or a Deployment,
// StatefulSet, Job or CronJob that drey has labeled.
type Known struct {
	flink.Owner

	Custom  bool // a Flink custom resource
	Run     runstate.Run
	Created time.Time
}

func (e *entry) known() Known {
	return Known{Owner: e.owner(), Custom: e.kind.custom, Run: e.run, Created: e.CreationTimestamp.Time}
}

// KnownRoot returns the root of an object with owner references, from the caches alone. ok is
// false if the nearest owner is not cached. podLabels are those of the pod, or nil.
func (o *Owners) KnownRoot(namespace string, refs []flink.OwnerReference, podLabels map[string]string) (root Known, ok bool) {
	ref, more := flink.PreferredOwner(refs)
	for range maxDepth {
		if !more {
			break
		}
		found, cached := o.cached(namespace, ref, podLabels)
		if !cached {
			break
		}
		if !root.Custom || found.kind.custom { // the owner of a custom resource is the tool that installed it
			root, ok = found.known(), true
		}
		ref, more = flink.PreferredOwner(found.ownerReferences())
	}
	return root, ok
}

// cached returns the object of an owner reference from the caches; the Deployment of a
// ReplicaSet by its name.
func (o *Owners) cached(namespace string, ref flink.OwnerReference, podLabels map[string]string) (*entry, bool) {
	k, ok := kindIn(knownKinds, ref)
	name, uid := ref.Name, ref.UID
	if k == replicaSets {
		if name, ok = flink.DeploymentOf(ref.Name, podLabels); ok {
			k, uid = deployments, ""
		}
	}
	if !ok {
		return nil, false
	}
	found, ok := o.caches[k].get(namespace, name)
	return found, ok && found.matches(uid)
}

// KnownRoots returns the cached objects of a namespace that no other cached one owns.
func (o *Owners) KnownRoots(namespace string) (roots []Known) {
	for _, c := range o.caches {
		all, err := c.informer.GetIndexer().ByIndex(cache.NamespaceIndex, namespace)
		if err != nil {
			continue
		}
		for _, object := range all {
			e, ok := object.(*entry)
			if !ok {
				continue
			}
			if _, owned := o.KnownRoot(namespace, e.ownerReferences(), nil); !owned {
				roots = append(roots, e.known())
			}
		}
	}
	return roots
}

// KnownNamespaces returns the namespaces of the cached objects, unordered.
func (o *Owners) KnownNamespaces() []string {
	all := map[string]struct{}{}
	for _, c := range o.caches {
		for _, namespace := range c.informer.GetIndexer().ListIndexFuncValues(cache.NamespaceIndex) {
			all[namespace] = struct{}{}
		}
	}
	return slices.Collect(maps.Keys(all))
}

// OnKnownChanged registers a callback for the namespace of each cached object that is added or
// deleted, or of which a field of [Known] or the owners change. Call it before Run. The callback
// must not block.
func (o *Owners) OnKnownChanged(changed func(namespace string)) error {
	notify := func(object any) {
		if key, err := cache.DeletionHandlingObjectToName(object); err == nil {
			changed(key.Namespace)
		}
	}
	return o.addHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: notify, DeleteFunc: notify,
		UpdateFunc: func(before, after any) {
			b, isEntry := before.(*entry)
			a, ok := after.(*entry)
			if !ok || !isEntry || a.changes(b) {
				notify(after)
			}
		},
	})
}

// changes reports whether the entry differs from before in a field of [Known], or in its owners.
// The UID differs if the watch missed that the object was recreated.
func (e *entry) changes(before *entry) bool {
	return e.UID != before.UID || e.run != before.run || e.mode != before.mode || e.jobID != before.jobID ||
		!maps.Equal(e.Labels, before.Labels) || !maps.Equal(e.Annotations, before.Annotations) ||
		!reflect.DeepEqual(e.podLabelFields, before.podLabelFields) || !slices.Equal(e.ownerReferences(), before.ownerReferences())
}
