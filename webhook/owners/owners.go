// Package owners resolves the owners of a workload up to the root. Labeled objects and Flink
// custom resources come from caches of their metadata and status, all others from the API server, by
// reads that are bounded in number and time.
package owners

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"drey.dev/drey/webhook/flink"
)

// Owners resolves owners. Use it after [Owners.Run] has started.
type Owners struct {
	metadata   metadata.Interface
	dynamic    dynamic.Interface
	log        *slog.Logger
	caches     map[kind]*kindCache
	discovered discoveredKinds
	lookups    *lookups
	selectors  selectors
	forbidden  forbiddenReads
	templates  templates
	now        func() time.Time
}

// New returns Owners whose caches are empty until [Owners.Run]. It needs permission to get,
// list and watch Deployments, StatefulSets, Jobs, CronJobs and Flink's custom resources, and
// to get ReplicaSets and DaemonSets. Custom resources need not be served. Owners of other
// kinds are resolved if drey may get them.
func New(config *rest.Config, log *slog.Logger) (*Owners, error) {
	config = rest.CopyConfig(config)
	config.QPS, config.Burst = 200, 400 // maxConcurrentLookups is the limit, not the client
	meta, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	all, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	return newOwners(meta, all, client, log)
}

func newOwners(meta metadata.Interface, all dynamic.Interface, client discoverer, log *slog.Logger) (o *Owners, err error) {
	o = &Owners{
		metadata: meta, dynamic: all, log: log, caches: make(map[kind]*kindCache), discovered: newDiscoveredKinds(client),
		lookups: newLookups(), selectors: newSelectors(), forbidden: newForbiddenReads(), templates: newTemplates(), now: time.Now,
	}
	for _, k := range cachedKinds {
		if o.caches[k], err = o.newKindCache(k); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// Run runs the informers until ctx ends.
func (o *Owners) Run(ctx context.Context) {
	for _, c := range o.caches {
		go c.informer.RunWithContext(ctx)
	}
	<-ctx.Done()
}

// Synced reports whether all informers have synced, except those of custom resources that the
// API server does not serve or drey may not list.
func (o *Owners) Synced() bool {
	for _, c := range o.caches {
		if !c.informer.HasSynced() && !c.unavailable.Load() {
			return false
		}
	}
	return true
}

// maxDepth bounds the chain of owners. The longest known has five: a pod, its ReplicaSet or
// Job, the controller of that, a FlinkDeployment and a FlinkBlueGreenDeployment.
const maxDepth = 8

// Of returns the owners of an object, nearest first. complete reports whether the last one is
// the root; it is false if ctx ended, a read failed or an owner does not exist. An owner that
// drey may not read is the last one, with the kind, name and UID of its reference. The
// nearest owner of a pod has the label keys that its controller's selector excludes.
func (o *Owners) Of(ctx context.Context, object *flink.Object) (owners []flink.Owner, complete bool) {
	owners, complete = o.chain(ctx, object)
	if len(owners) > 0 && object.Kind == "Pod" {
		owners[0].ExcludedKeys, owners[0].SelectorUnknown = o.excludedKeys(ctx, object)
	}
	return owners, complete
}

func (o *Owners) chain(ctx context.Context, object *flink.Object) (owners []flink.Owner, complete bool) {
	ref, ok := flink.PreferredOwner(object.OwnerReferences)
	if !ok || flink.IsCustomKind(object.Kind) && !isCached(ref) {
		return nil, true
	}
	var below *entry
	for range maxDepth {
		found, err := o.resolve(ctx, object, ref)
		if err == nil && found.mayBeStale(object, below, o.now()) {
			found, err = o.lookup(ctx, found.kind, object.Namespace, found.Name, ref.UID)
		}
		if err != nil {
			owner, complete := unresolved(ref, err)
			if owner.LookupFailed {
				o.log.Debug("owner not read", "namespace", object.Namespace, "kind", ref.Kind, "name", ref.Name, "error", err)
			}
			return append(owners, owner), complete
		}
		owners, below = append(owners, found.owner()), found
		if ref, ok = flink.PreferredOwner(found.ownerReferences()); !ok || found.kind.custom && !isCached(ref) {
			return owners, true // only another Flink custom resource is the root of one
		}
	}
	return owners, false
}

// unresolved returns the owner of a reference that could not be read. complete reports
// whether it is taken for the root.
func unresolved(ref flink.OwnerReference, err error) (owner flink.Owner, complete bool) {
	owner = flink.Owner{APIVersion: ref.APIVersion, Kind: ref.Kind, Name: ref.Name, UID: ref.UID}
	if errors.Is(err, errUnreadable) || errors.Is(err, errNotFound) {
		owner.Unresolved = true
		return owner, errors.Is(err, errUnreadable)
	}
	owner.LookupFailed = true
	return owner, false
}

// Cluster returns the Flink cluster with a name, in the form of a label value, in a namespace.
// ok is false if no cached workload is its JobManager's, or if several have different ids.
func (o *Owners) Cluster(namespace, name string) (cluster flink.Cluster, ok bool) {
	for _, c := range o.caches {
		all, err := c.informer.GetIndexer().ByIndex(byCluster, namespace+"/"+name)
		if err != nil {
			continue
		}
		for _, object := range all {
			found, _, isCluster := object.(*entry).cluster()
			if isCluster && ok && found.ID != cluster.ID {
				return flink.Cluster{}, false
			}
			if isCluster {
				cluster, ok = found, true
			}
		}
	}
	return cluster, ok
}

// HasUID reports whether a cached Flink workload has a UID.
func (o *Owners) HasUID(uid string) bool {
	for _, c := range o.caches {
		if keys, err := c.informer.GetIndexer().IndexKeys(byUID, uid); err == nil && len(keys) > 0 {
			return true
		}
	}
	return false
}

// HasAdmitted reports whether a namespace has an admitted controller or custom resource.
func (o *Owners) HasAdmitted(namespace string) bool {
	for _, c := range o.caches {
		all, err := c.informer.GetIndexer().ByIndex(cache.NamespaceIndex, namespace)
		if err == nil && slices.ContainsFunc(all, isAdmitted) {
			return true
		}
	}
	return false
}

func isAdmitted(object any) bool {
	e, ok := object.(*entry)
	return ok && e.Labels[flink.LabelPlatformNamespace] != ""
}

// OnChange registers a callback for the namespace of each cached object that is added or
// deleted. Call it before Run. The callback must not block.
func (o *Owners) OnChange(changed func(namespace string)) error {
	notify := func(object any) {
		if key, err := cache.DeletionHandlingObjectToName(object); err == nil {
			changed(key.Namespace)
		}
	}
	return o.addHandler(cache.ResourceEventHandlerFuncs{AddFunc: notify, DeleteFunc: notify})
}

// OnClusterCreated registers a callback for the namespace of each new workload that
// identifies a cluster, see [Owners.Cluster], except those of the initial list. Call it before
// Run. The callback must not block.
func (o *Owners) OnClusterCreated(created func(namespace string)) error {
	return o.addHandler(cache.ResourceEventHandlerDetailedFuncs{AddFunc: func(object any, initial bool) {
		e, ok := object.(*entry)
		if !ok || initial {
			return
		}
		if _, _, ok := e.cluster(); ok {
			created(e.Namespace)
		}
	}})
}

func (o *Owners) addHandler(handler cache.ResourceEventHandler) error {
	for _, c := range o.caches {
		if _, err := c.informer.AddEventHandler(handler); err != nil {
			return err
		}
	}
	return nil
}

var (
	errUnreadable = errors.New("its kind is not served, or drey may not read it")
	errNotFound   = errors.New("not found")
)

// resolve returns the object of an owner reference. The Deployment of a ReplicaSet is found
// by its name, mostly in the cache. A ReplicaSet without one is read, since another object may
// control it.
func (o *Owners) resolve(ctx context.Context, object *flink.Object, ref flink.OwnerReference) (*entry, error) {
	k, ok := kindIn(knownKinds, ref)
	if k == replicaSets {
		if deployment, ok := flink.DeploymentOf(ref.Name, object.Pod.Labels); ok {
			if found, err := o.get(ctx, deployments, object.Namespace, deployment, ""); !errors.Is(err, errNotFound) {
				return found, err
			}
		}
	}
	if !ok {
		var err error
		if k, err = o.discoverKind(ctx, ref); err != nil {
			return nil, err
		}
	}
	return o.get(ctx, k, object.Namespace, ref.Name, ref.UID)
}

// get returns an object from the informer's cache, else from that of earlier lookups, else
// from the API server. An empty uid is unknown.
func (o *Owners) get(ctx context.Context, k kind, namespace, name, uid string) (*entry, error) {
	if found, ok := o.caches[k].get(namespace, name); ok && found.matches(uid) {
		return found, nil
	}
	if found, err, ok := o.lookups.get(k, namespace, name); ok && (err != nil || found.matches(uid)) {
		return found, err
	}
	return o.lookup(ctx, k, namespace, name, uid)
}

// lookup reads an object from the API server, and caches the result. It waits for a slot
// until ctx ends.
func (o *Owners) lookup(ctx context.Context, k kind, namespace, name, uid string) (*entry, error) {
	if o.forbidden.has(k, namespace) {
		return nil, errUnreadable
	}
	release, err := o.lookups.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	found, err := o.read(ctx, k, namespace, name)
	switch {
	case apierrors.IsNotFound(err):
		err = fmt.Errorf("%s %s/%s: %w", k.Kind, namespace, name, errNotFound)
	case !k.isCached() && (apierrors.IsForbidden(err) || apierrors.IsNotAcceptable(err) || apierrors.IsMethodNotSupported(err)):
		o.forbidden.add(k, namespace)
		err = errUnreadable
	}
	if err == nil || errors.Is(err, errNotFound) {
		o.lookups.add(k, namespace, name, found, err)
	}
	if err == nil && !found.matches(uid) {
		return nil, fmt.Errorf("%s %s/%s with uid %q: %w", k.Kind, namespace, name, uid, errNotFound)
	}
	return found, err
}

// read reads the metadata of an object. Flink's custom resources are read whole, and so are
// controllers that release pods, for their selector.
func (o *Owners) read(ctx context.Context, k kind, namespace, name string) (*entry, error) {
	if k.clusterScoped {
		namespace = metav1.NamespaceNone
	}
	if !k.custom && !k.releasesPods() {
		m, err := o.metadata.Resource(k.resource()).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		return newEntry(k, m), nil
	}
	u, err := o.dynamic.Resource(k.resource()).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	if k.custom {
		return newCustomEntry(k, u), nil
	}
	o.selectors.add(k, u)
	return newEntry(k, u), nil
}
