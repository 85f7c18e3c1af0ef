package registry

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Reference is a reference to an object of the registry, by another object or by a Flink
// workload in the cluster.
type Reference struct {
	Kind string // Deployment or SessionCluster; for workloads "Kubernetes Deployment", Pod, FlinkDeployment, ...
	Name string

	Namespace string // the Kubernetes namespace of a workload
}

func (r Reference) String() string {
	if r.Namespace != "" {
		return fmt.Sprintf("%s %s in Kubernetes namespace %s", r.Kind, quote(r.Name), quote(r.Namespace))
	}
	return fmt.Sprintf("%s %s", r.Kind, quote(r.Name))
}

// References lists the references to an object: by objects of the registry, ordered by kind and
// name, then by workloads.
func (r *Registry) References(ctx context.Context, o Object) ([]Reference, error) {
	found, err := r.registered(ctx, o)
	if err != nil || o.Kind != DeploymentTarget {
		return found, err
	}
	running, err := r.running(ctx, o)
	return append(found, running...), err
}

// registered lists the references by objects of the registry.
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
				return nil, fmt.Errorf("read the references of %s: %w", describe(c.Key()), err)
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

// running lists the references by workloads: those of the target's platform namespace in its
// Kubernetes namespace. There are none if another target of the platform namespace points
// there too.
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
		return nil, cannotList(namespace, err)
	}
	for i := range found {
		found[i].Namespace = namespace
	}
	return found, nil
}

// cannotList returns the refusal of an operation that depends on the workloads in a Kubernetes
// namespace, which could not be listed.
func cannotList(kubernetesNamespace string, err error) error {
	return refuse(ReasonClusterUnavailable, "cannot list the Flink workloads in Kubernetes namespace %s: %v: try again once the API server is available, "+
		"or grant the permission to list pods and Flink's custom resources there", quote(kubernetesNamespace), err)
}

// checkReferences refuses an object with references to missing objects. The caller holds the
// guard, if there is one.
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

// find reports whether the object of a reference exists.
func (r *Registry) find(ctx context.Context, namespace string, ref ref) (bool, error) {
	key, ok, err := r.locate(ctx, namespace, ref)
	if !ok || err != nil || ref.id != "" {
		return ok, err
	}
	// Not r.Get: the directory may not have the platform namespace yet.
	_, err = r.store.Get(ctx, key, Consistent)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// locate returns the key that a reference means; false if no object has its id.
func (r *Registry) locate(ctx context.Context, namespace string, ref ref) (Key, bool, error) {
	if ref.id != "" {
		return r.byID(ctx, ref.kind, namespace, ref.id)
	}
	key, err := r.resolve(ctx, Key{ref.kind, namespace, ref.name})
	return key, err == nil, err
}

// checkUnreferenced refuses to delete an object while references lists any.
func (r *Registry) checkUnreferenced(ctx context.Context, o Object, references func(context.Context, Object) ([]Reference, error)) error {
	reason := ReasonTargetReferenced
	switch o.Kind {
	case DeploymentTarget:
	case SessionCluster:
		reason = ReasonSessionClusterReferenced
	default:
		return nil // has no references
	}
	refs, err := references(ctx, o)
	if err != nil {
		return fmt.Errorf("list the references to %s: %w", describe(o.Key()), err)
	}
	if len(refs) == 0 {
		return nil
	}
	return refuse(reason, "%s cannot be deleted while it is referenced: %s: delete these or change their references first", describe(o.Key()), joinSome(refs, Reference.String))
}

// joinSome joins the first ten texts of a list, and counts the rest.
func joinSome[T any](list []T, text func(T) string) string {
	const most = 10
	var texts []string
	for _, v := range list[:min(len(list), most)] {
		texts = append(texts, text(v))
	}
	joined := strings.Join(texts, ", ")
	if more := len(list) - most; more > 0 {
		joined += fmt.Sprintf(" and %d more", more)
	}
	return joined
}

// deleteUnreferenced deletes an object without references in the registry. The caller holds the
// guard, if there is one.
func (r *Registry) deleteUnreferenced(ctx context.Context, o Object) error {
	check := func(ctx context.Context) error { return r.checkUnreferenced(ctx, o, r.registered) }
	if shared := r.shared(); shared != nil && (o.Kind == DeploymentTarget || o.Kind == SessionCluster) {
		return shared.DeleteIf(ctx, o.Key(), o.Metadata.ResourceVersion, check)
	}
	if err := check(ctx); err != nil {
		return err
	}
	return r.store.Delete(ctx, o.Key(), o.Metadata.ResourceVersion)
}

// confirmReferences verifies, after o was written, that no other process has deleted an object
// that o refers to. Otherwise it reverts the write, and refuses it.
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
			// A later write of the object has checked its references: leave it.
			if err := undo(); err != nil && !errors.Is(err, ErrConflict) && !errors.Is(err, ErrNotFound) {
				return fmt.Errorf("revert the write of %s, whose %s was deleted meanwhile: %w", describe(o.Key()), ref.kind, err)
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

// Preview is the outcome of a deletion, and its consequences.
type Preview struct {
	Object     Object
	References []Reference // any of these makes the deletion refused
	Afterwards []string    // what will be refused after the deletion, in words
}

// PreviewDelete previews [Registry.Delete]. Refused with [ReasonNotFound] and
// [ReasonClusterUnavailable].
func (r *Registry) PreviewDelete(ctx context.Context, key Key) (Preview, error) {
	o, err := r.Get(ctx, key, Consistent)
	if err != nil {
		return Preview{}, err
	}
	p := Preview{Object: o, Afterwards: []string{}}
	if p.References, err = r.References(ctx, o); err != nil {
		return Preview{}, fmt.Errorf("list the references to %s: %w", describe(o.Key()), err)
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

// closes returns which workloads a Kubernetes namespace will not admit without a target: "" if
// another target of its platform namespace points there. It does not name other platform
// namespaces, which the user may not be permitted to see.
func (r *Registry) closes(target Object) string {
	namespace := targetNamespace(target, r.ownNamespace)
	id, others := newIDKey(target.Metadata.ID), false
	for _, t := range r.index.Targets(namespace) {
		switch {
		case t.id == id:
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
