package registry

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Reference is something that stands on an object of the registry: another
// object, or a Flink workload that runs in the cluster.
type Reference struct {
	Kind string // Deployment, SessionCluster; or Kubernetes Deployment, Pod, FlinkDeployment and the like for what is in the cluster
	Name string

	Namespace string // the Kubernetes namespace of what runs
}

func (r Reference) String() string {
	if r.Namespace != "" {
		return fmt.Sprintf("%s %s in Kubernetes namespace %s", r.Kind, quote(r.Name), quote(r.Namespace))
	}
	return fmt.Sprintf("%s %s", r.Kind, quote(r.Name))
}

// References lists what stands on an object: those of the registry first,
// ordered by kind and name.
func (r *Registry) References(ctx context.Context, o Object) ([]Reference, error) {
	found, err := r.registered(ctx, o)
	if err != nil || o.Kind != DeploymentTarget {
		return found, err
	}
	running, err := r.running(ctx, o)
	return append(found, running...), err
}

// registered lists what of the registry stands on an object.
func (r *Registry) registered(ctx context.Context, o Object) ([]Reference, error) {
	var found []Reference
	for _, kind := range []Kind{Deployment, SessionCluster} {
		candidates, err := r.store.List(ctx, kind, o.Metadata.Namespace, Consistent)
		if err != nil {
			return nil, err
		}
		for _, c := range candidates {
			refs, err := kinds[kind].refersTo(c.Spec)
			if err != nil {
				return nil, fmt.Errorf("read to what %s refers: %w", name(c.Key()), err)
			}
			for _, ref := range refs {
				if ref.isTo(o) {
					found = append(found, Reference{Kind: string(kind), Name: c.Metadata.Name})
					break
				}
			}
		}
	}
	return found, nil
}

// running lists the live workloads that stand on a target: those of its
// platform namespace in its Kubernetes namespace, unless another target of the
// same platform namespace would hold them.
func (r *Registry) running(ctx context.Context, target Object) ([]Reference, error) {
	namespace := targetNamespace(target, r.ownNamespace)
	siblings, err := r.store.List(ctx, DeploymentTarget, target.Metadata.Namespace, Consistent)
	if err != nil {
		return nil, err
	}
	for _, s := range siblings {
		if s.Metadata.ID != target.Metadata.ID && targetNamespace(s, r.ownNamespace) == namespace {
			return nil, nil
		}
	}
	found, err := r.workloads.Running(ctx, namespace, target.Metadata.Namespace)
	if err != nil {
		return nil, untold(namespace, err)
	}
	for i := range found {
		found[i].Namespace = namespace
	}
	return found, nil
}

// untold refuses what depends on what runs in a Kubernetes namespace, when
// nobody can tell.
func untold(kubernetesNamespace string, err error) error {
	return refuse(ReasonClusterUnavailable, "what of Flink runs in Kubernetes namespace %s cannot be told: %v. Try again when the API server answers, "+
		"or grant the right to list pods and Flink's custom resources there", quote(kubernetesNamespace), err)
}

// checkReferences refuses an object that refers to what does not exist. The
// caller holds the guard, if there is one.
func (r *Registry) checkReferences(ctx context.Context, o Object) error {
	refs, err := kinds[o.Kind].refersTo(o.Spec)
	if err != nil {
		return err
	}
	for _, ref := range refs {
		found, err := r.find(ctx, o.Metadata.Namespace, ref)
		if err != nil {
			return err
		}
		if !found {
			return unknownReference(o, ref)
		}
	}
	return nil
}

// find tells whether what a reference is to is there.
func (r *Registry) find(ctx context.Context, namespace string, ref ref) (bool, error) {
	key, ok, err := r.locate(ctx, namespace, ref)
	if !ok || err != nil || ref.id != "" {
		return ok, err
	}
	// The platform namespace need not be known yet: kubectl may have made its first
	// object a moment ago.
	_, err = r.store.Get(ctx, key, Consistent)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// locate returns the key that a reference means; false if it is an id that nothing has.
func (r *Registry) locate(ctx context.Context, namespace string, ref ref) (Key, bool, error) {
	if ref.id != "" {
		return r.byID(ctx, ref.kind, namespace, ref.id)
	}
	key, err := r.resolve(ctx, Key{ref.kind, namespace, ref.name})
	return key, err == nil, err
}

// checkUnreferenced refuses to let an object go while something stands on it.
func (r *Registry) checkUnreferenced(ctx context.Context, o Object, references func(context.Context, Object) ([]Reference, error)) error {
	reason := ReasonTargetReferenced
	switch o.Kind {
	case DeploymentTarget:
	case SessionCluster:
		reason = ReasonSessionClusterReferenced
	default:
		return nil // nothing refers to it
	}
	refs, err := references(ctx, o)
	if err != nil {
		return fmt.Errorf("find what refers to %s: %w", name(o.Key()), err)
	}
	if len(refs) == 0 {
		return nil
	}
	return refuse(reason, "%s cannot be deleted while something refers to it: %s. Delete these or move them elsewhere first", name(o.Key()), listSome(refs, Reference.String))
}

// listSome writes the first ten of a list, and how many more there are.
func listSome[T any](list []T, write func(T) string) string {
	const most = 10
	var words []string
	for _, v := range list[:min(len(list), most)] {
		words = append(words, write(v))
	}
	text := strings.Join(words, ", ")
	if more := len(list) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// remove deletes an object on which nothing of the registry stands. The caller
// holds the guard.
func (r *Registry) remove(ctx context.Context, o Object) error {
	check := func(ctx context.Context) error { return r.checkUnreferenced(ctx, o, r.registered) }
	if shared := r.shared(); shared != nil && (o.Kind == DeploymentTarget || o.Kind == SessionCluster) {
		return shared.DeleteIf(ctx, o.Key(), o.Metadata.ResourceVersion, check)
	}
	if err := check(ctx); err != nil {
		return err
	}
	return r.store.Delete(ctx, o.Key(), o.Metadata.ResourceVersion)
}

// confirmReferences makes sure, after o was written, that what it refers to has
// not been deleted by another process since it was looked for. Else the write is
// undone, and refused.
func (r *Registry) confirmReferences(ctx context.Context, o Object, undo func() error) error {
	shared := r.shared()
	if shared == nil {
		return nil
	}
	refs, err := kinds[o.Kind].refersTo(o.Spec)
	if err != nil {
		return err
	}
	for _, ref := range refs {
		key, found, err := r.locate(ctx, o.Metadata.Namespace, ref)
		if err != nil {
			return err
		}
		if found {
			err = shared.Confirm(ctx, key, ref.id)
		}
		if !found || errors.Is(err, ErrNotFound) {
			// Whoever changed the object since has looked at what it refers to.
			if err := undo(); err != nil && !errors.Is(err, ErrConflict) && !errors.Is(err, ErrNotFound) {
				return fmt.Errorf("undo the write of %s, whose %s was deleted meanwhile: %w", name(o.Key()), ref.kind, err)
			}
			return unknownReference(o, ref)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func unknownReference(o Object, ref ref) error {
	return refuse(ReasonUnknownReference, "%s: there is no %s in platform namespace %s: create it first, or correct the field",
		ref.field, ref, quote(o.Metadata.Namespace))
}

// Preview is what the deletion of an object would meet, and what it would mean.
type Preview struct {
	Object     Object
	References []Reference // what stands on it: with any of it, the deletion is refused
	Afterwards []string    // what would be refused once it is gone, in words
}

// PreviewDelete says what [Registry.Delete] would do, and does nothing. Refused with
// [ReasonNotFound], and with [ReasonClusterUnavailable] as the deletion would be.
func (r *Registry) PreviewDelete(ctx context.Context, key Key) (Preview, error) {
	o, err := r.Get(ctx, key, Consistent)
	if err != nil {
		return Preview{}, err
	}
	p := Preview{Object: o, Afterwards: []string{}}
	if p.References, err = r.References(ctx, o); err != nil {
		return Preview{}, fmt.Errorf("find what refers to %s: %w", name(o.Key()), err)
	}
	switch o.Kind {
	case DeploymentTarget:
		p.Afterwards = append(p.Afterwards, "Deployments and SessionClusters in platform namespace "+quote(o.Metadata.Namespace)+" that refer to it")
		if closed := r.closes(o); closed != "" {
			p.Afterwards = append(p.Afterwards, closed)
		}
	case SessionCluster:
		p.Afterwards = append(p.Afterwards, "Deployments in platform namespace "+quote(o.Metadata.Namespace)+" that run on it")
	}
	return p, nil
}

// closes says to which workloads a Kubernetes namespace would be closed without a
// target: empty if another of its platform namespace points there too. Those of other
// platform namespaces are counted, not named: not everybody may know them.
func (r *Registry) closes(target Object) string {
	namespace := targetNamespace(target, r.ownNamespace)
	others := false
	for _, t := range r.index.Targets(namespace) {
		switch {
		case t.ID == target.Metadata.ID:
		case t.PlatformNamespace == target.Metadata.Namespace:
			return ""
		default:
			others = true
		}
	}
	if r.partialView && !others {
		return fmt.Sprintf("new Flink workloads in Kubernetes namespace %s, unless a target of another platform namespace, which you may not see, points there",
			quote(namespace))
	}
	if others {
		return fmt.Sprintf("new Flink workloads in Kubernetes namespace %s that belong to platform namespace %s: only others have targets there",
			quote(namespace), quote(target.Metadata.Namespace))
	}
	return fmt.Sprintf("new Flink workloads in Kubernetes namespace %s, which no other target points at", quote(namespace))
}
