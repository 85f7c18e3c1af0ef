// Package owners finds what owns a workload, up to the topmost controller of any kind:
// from caches of the metadata of labeled objects, and for the rest by reads from the API
// server, which are bounded in number and time.
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

// Owners answers from memory where it can.
type Owners struct {
	metadata  metadata.Interface
	dynamic   dynamic.Interface
	served    served
	log       *slog.Logger
	followed  map[kind]*followed
	asked     *answers
	selectors selectors
	unread    unread
	proofs    proofs
	now       func() time.Time
}

// New prepares the look-up. It needs the right to get, list and watch Deployments,
// StatefulSets, Jobs, CronJobs and Flink's custom resources, of which none has to be
// there, and to get ReplicaSets and DaemonSets. With the right to get owners of other
// kinds it follows those, too.
func New(config *rest.Config, log *slog.Logger) (*Owners, error) {
	config = rest.CopyConfig(config)
	config.QPS, config.Burst = 200, 400 // a look-up must not wait in line here: it has its own bound
	meta, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	all, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	api, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	return with(meta, all, api, log)
}

func with(meta metadata.Interface, all dynamic.Interface, api discoverer, log *slog.Logger) (o *Owners, err error) {
	o = &Owners{
		metadata: meta, dynamic: all, served: newServed(api), log: log, followed: make(map[kind]*followed),
		asked: newAnswers(), selectors: newSelectors(), unread: newUnread(), proofs: newProofs(), now: time.Now,
	}
	for _, k := range kinds {
		if o.followed[k], err = o.follow(k); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// Run follows the cluster until ctx ends.
func (o *Owners) Run(ctx context.Context) {
	for _, f := range o.followed {
		go f.informer.RunWithContext(ctx)
	}
	<-ctx.Done()
}

// Synced reports whether all that makes pods and was there at the start has been listed.
// Custom resources that the cluster does not serve, or that drey may not list, are not
// waited for.
func (o *Owners) Synced() bool {
	for _, f := range o.followed {
		if !f.informer.HasSynced() && !f.absent.Load() {
			return false
		}
	}
	return true
}

// depth bounds the chain of owners. The longest that is known to occur has five: a
// pod, its ReplicaSet or Job, what controls that, a FlinkDeployment, and a
// FlinkBlueGreenDeployment.
const depth = 8

// Of finds the owners of an object, nearest first. complete says that the last of
// them is the root; if not, ctx ended before, or the API server did not answer, or
// an owner is gone. An owner that drey has no right to read is the last: its reference
// shows its kind, name and uid. The nearest of a pod says which labels its controller
// denies it.
func (o *Owners) Of(ctx context.Context, object *flink.Object) (relatives []flink.Owner, complete bool) {
	relatives, complete = o.chain(ctx, object)
	if len(relatives) > 0 && object.Kind == "Pod" {
		relatives[0].ExcludedKeys, relatives[0].SelectorUnknown = o.denied(ctx, object)
	}
	return relatives, complete
}

func (o *Owners) chain(ctx context.Context, object *flink.Object) (relatives []flink.Owner, complete bool) {
	ref, ok := flink.PreferredOwner(object.OwnerReferences)
	if !ok || flink.IsCustomKind(object.Kind) && !isFollowed(ref) {
		return nil, true
	}
	var below *kept
	for range depth {
		found, err := o.find(ctx, object, ref)
		if err == nil && found.mayLag(object, below, o.now()) {
			found, err = o.ask(ctx, found.kind, object.Namespace, found.Name, ref.UID)
		}
		switch {
		case errors.Is(err, errUnreadable):
			return append(relatives, unverified(ref)), true
		case errors.Is(err, errGone):
			return append(relatives, unverified(ref)), false
		case err != nil:
			o.log.Debug("owner not found", "namespace", object.Namespace, "kind", ref.Kind, "name", ref.Name, "error", err)
			r := bare(ref)
			r.LookupFailed = true
			return append(relatives, r), false
		}
		relatives, below = append(relatives, found.relative()), found
		if ref, ok = flink.PreferredOwner(found.owners()); !ok || found.kind.custom && !isFollowed(ref) {
			return relatives, true // above a custom resource of Flink's, only another is the root
		}
	}
	return relatives, false
}

// Cluster returns the cluster with a name, as a label has it, that runs in a namespace.
// ok is false if nothing that is followed is its JobManager's, or if several things are
// that identify it differently.
func (o *Owners) Cluster(namespace, name string) (c flink.Cluster, ok bool) {
	for _, f := range o.followed {
		all, err := f.informer.GetIndexer().ByIndex(byCluster, namespace+"/"+name)
		if err != nil {
			continue
		}
		for _, object := range all {
			found, _, is := object.(*kept).cluster()
			if is && ok && found.ID != c.ID {
				return flink.Cluster{}, false
			}
			if is {
				c, ok = found, true
			}
		}
	}
	return c, ok
}

// HasUID tells whether an id is the uid of a Flink workload that is followed.
func (o *Owners) HasUID(id string) bool {
	for _, f := range o.followed {
		if keys, err := f.informer.GetIndexer().IndexKeys(byUID, id); err == nil && len(keys) > 0 {
			return true
		}
	}
	return false
}

// HasAdmitted tells whether something that was admitted is in a namespace: what makes pods, or
// a custom resource of which an operator makes that.
func (o *Owners) HasAdmitted(namespace string) bool {
	for _, f := range o.followed {
		all, err := f.informer.GetIndexer().ByIndex(cache.NamespaceIndex, namespace)
		if err == nil && slices.ContainsFunc(all, isAdmitted) {
			return true
		}
	}
	return false
}

func isAdmitted(object any) bool {
	found, ok := object.(*kept)
	return ok && found.Labels["vvpNamespace"] != ""
}

// OnChange has changed called with the namespace of whatever is followed and comes or
// goes. Call it before Run; changed must not wait.
func (o *Owners) OnChange(changed func(namespace string)) error {
	tell := func(object any) {
		if key, err := cache.DeletionHandlingObjectToName(object); err == nil {
			changed(key.Namespace)
		}
	}
	for _, f := range o.followed {
		if _, err := f.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: tell, DeleteFunc: tell}); err != nil {
			return err
		}
	}
	return nil
}

// OnClusterCreated has came called with the namespace of each workload that comes, after those
// that are there at the start, and identifies a cluster: see [Owners.Cluster]. Call it
// before Run; came must not wait.
func (o *Owners) OnClusterCreated(came func(namespace string)) error {
	handler := cache.ResourceEventHandlerDetailedFuncs{AddFunc: func(object any, initial bool) {
		found, ok := object.(*kept)
		if !ok || initial {
			return
		}
		if _, _, ok := found.cluster(); ok {
			came(found.Namespace)
		}
	}}
	for _, f := range o.followed {
		if _, err := f.informer.AddEventHandler(handler); err != nil {
			return err
		}
	}
	return nil
}

var (
	errUnreadable = errors.New("its kind is not served, or may not be read")
	errGone       = errors.New("it is not there")
)

// find returns what an owner reference of an object points at. A ReplicaSet's
// Deployment is found by its name, from memory as a rule; a ReplicaSet without one is
// read: something else may control it.
func (o *Owners) find(ctx context.Context, object *flink.Object, ref flink.OwnerReference) (*kept, error) {
	k, ok := among(known, ref)
	if k == replicaSets {
		if deployment, ok := flink.DeploymentOf(ref.Name, object.Pod.Labels); ok {
			if found, err := o.get(ctx, deployments, object.Namespace, deployment, ""); !errors.Is(err, errGone) {
				return found, err
			}
		}
	}
	if !ok {
		var err error
		if k, err = o.kindOf(ctx, ref); err != nil {
			return nil, err
		}
	}
	return o.get(ctx, k, object.Namespace, ref.Name, ref.UID)
}

// get answers from memory if it can, else it asks. uid is empty where it is not
// known.
func (o *Owners) get(ctx context.Context, k kind, namespace, name, uid string) (*kept, error) {
	if found, ok := o.followed[k].get(namespace, name); ok && found.is(uid) {
		return found, nil
	}
	if found, err, ok := o.asked.get(k, namespace, name); ok && (err != nil || found.is(uid)) {
		return found, err
	}
	return o.ask(ctx, k, namespace, name, uid)
}

// ask reads from the API server. So many at once are enough: who has to wait
// longer than ctx allows does without.
func (o *Owners) ask(ctx context.Context, k kind, namespace, name, uid string) (*kept, error) {
	if o.unread.has(k, namespace) {
		return nil, errUnreadable
	}
	release, err := o.asked.turn(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	found, err := o.read(ctx, k, namespace, name)
	switch {
	case apierrors.IsNotFound(err):
		err = fmt.Errorf("%s %s/%s: %w", k.Kind, namespace, name, errGone)
	case !k.isFollowed() && (apierrors.IsForbidden(err) || apierrors.IsNotAcceptable(err) || apierrors.IsMethodNotSupported(err)):
		o.unread.keep(k, namespace)
		err = errUnreadable
	}
	if err == nil || errors.Is(err, errGone) {
		o.asked.keep(k, namespace, name, found, err)
	}
	if err == nil && !found.is(uid) {
		return nil, fmt.Errorf("%s %s/%s with uid %s: %w", k.Kind, namespace, name, uid, errGone)
	}
	return found, err
}

func (o *Owners) read(ctx context.Context, k kind, namespace, name string) (*kept, error) {
	if k.cluster {
		namespace = metav1.NamespaceNone
	}
	claims := slices.Contains(claiming, k)
	if !k.custom && !claims {
		m, err := o.metadata.Resource(k.resource()).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		return keepMetadata(k, m), nil
	}
	u, err := o.dynamic.Resource(k.resource()).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	if claims {
		o.selectors.keep(k, u)
		return keepMetadata(k, u), nil
	}
	return keepCustom(k, u), nil
}

// bare is what an owner reference itself says.
func bare(ref flink.OwnerReference) flink.Owner {
	return flink.Owner{APIVersion: ref.APIVersion, Kind: ref.Kind, Name: ref.Name, UID: ref.UID}
}

// unverified is what an owner reference says of an object that was not found with that
// uid.
func unverified(ref flink.OwnerReference) flink.Owner {
	r := bare(ref)
	r.Unresolved = true
	return r
}
