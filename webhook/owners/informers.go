package owners

import (
	"context"
	"slices"
	"sync/atomic"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/cache"

	"drey.dev/drey/listwatch"
	"drey.dev/drey/webhook/flink"
)

// kind is one of those that can own a Flink workload.
type kind struct {
	flink.CustomResource
	custom  bool // one of flink.CustomResources
	cluster bool // its objects have no namespace
}

func builtIn(group, kindName, resource string) kind {
	return kind{CustomResource: flink.CustomResource{Kind: kindName, Group: group, Version: "v1", Resource: resource}}
}

var (
	deployments  = builtIn("apps", "Deployment", "deployments")
	statefulSets = builtIn("apps", "StatefulSet", "statefulsets")
	jobs         = builtIn("batch", "Job", "jobs")
	replicaSets  = builtIn("apps", "ReplicaSet", "replicasets")
	daemonSets   = builtIn("apps", "DaemonSet", "daemonsets")
)

// kinds are those that are followed.
var kinds = func() []kind {
	all := []kind{deployments, statefulSets, jobs, builtIn("batch", "CronJob", "cronjobs")}
	for _, c := range flink.CustomResources {
		all = append(all, kind{CustomResource: c, custom: true})
	}
	return all
}()

// known are those whose resources need no discovery.
var known = slices.Concat(kinds, []kind{replicaSets, daemonSets})

func isFollowed(ref flink.OwnerReference) bool {
	_, ok := among(kinds, ref)
	return ok
}

func (k kind) isFollowed() bool { return slices.Contains(kinds, k) }

func among(kinds []kind, ref flink.OwnerReference) (kind, bool) {
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	if err != nil {
		return kind{}, false
	}
	for _, k := range kinds {
		if k.Kind == ref.Kind && k.Group == gv.Group {
			return k, true
		}
	}
	return kind{}, false
}

func (k kind) apiVersion() string {
	return schema.GroupVersion{Group: k.Group, Version: k.Version}.String()
}

func (k kind) resource() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: k.Group, Version: k.Version, Resource: k.Resource}
}

// followed is the part of a kind that is kept in memory.
type followed struct {
	informer cache.SharedIndexInformer
	absent   atomic.Bool // the API server does not serve the kind, or does not list it for drey; it may later
}

// The indexes of what is followed.
const (
	byUID     = "uid"
	byCluster = "cluster" // <namespace>/<name of the cluster, as a label has it>
)

// labeled selects what drey has labeled: of the Deployments, StatefulSets and
// Jobs of a cluster, only those come over the wire, and stay in memory.
const labeled = "system=ververica-platform"

func (o *Owners) follow(k kind) (*followed, error) {
	indexers := cache.Indexers{byUID: func(object any) ([]string, error) {
		if found, ok := object.(*kept); ok {
			return []string{string(found.UID)}, nil
		}
		return nil, nil
	}, byCluster: func(object any) ([]string, error) {
		if found, ok := object.(*kept); ok {
			if _, name, ok := found.cluster(); ok {
				return []string{found.Namespace + "/" + name}, nil
			}
		}
		return nil, nil
	}, cache.NamespaceIndex: cache.MetaNamespaceIndexFunc}
	var informer cache.SharedIndexInformer
	if k.custom {
		informer = cache.NewSharedIndexInformer(listwatch.Dynamic(o.dynamic, k.resource()), &unstructured.Unstructured{}, 0, indexers)
	} else {
		informer = cache.NewSharedIndexInformer(listwatch.Metadata(o.metadata, k.resource(), func(l *metav1.ListOptions) {
			l.LabelSelector = labeled
		}), &metav1.PartialObjectMetadata{}, 0, indexers)
	}
	if err := informer.SetTransform(func(object any) (any, error) {
		switch object := object.(type) {
		case *unstructured.Unstructured:
			return keepCustom(k, object), nil
		case *metav1.PartialObjectMetadata:
			return keepMetadata(k, object), nil
		}
		return object, nil // transformed before, or a tombstone
	}); err != nil {
		return nil, err
	}
	f := &followed{informer: informer}
	return f, informer.SetWatchErrorHandlerWithContext(func(ctx context.Context, r *cache.Reflector, err error) {
		if k.custom && (apierrors.IsNotFound(err) || apierrors.IsForbidden(err)) {
			f.absent.Store(true)
		}
		if k.custom && apierrors.IsNotFound(err) {
			return // its operator is not installed, or not yet: it is tried again
		}
		o.log.Warn("owners not followed: they are asked for one by one", "kind", k.Kind, "group", k.Group, "error", err)
	})
}

func (f *followed) get(namespace, name string) (*kept, bool) {
	if f == nil {
		return nil, false // its kind is not followed
	}
	object, ok, err := f.informer.GetIndexer().GetByKey(namespace + "/" + name)
	if err != nil || !ok {
		return nil, false
	}
	found, ok := object.(*kept)
	return found, ok
}
