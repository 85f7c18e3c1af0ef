package registry

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
)

// Namespaces returns the platform namespaces, ordered by name.
func (r *Registry) Namespaces(ctx context.Context) ([]Object, error) {
	return r.store.List(ctx, Namespace, "", Cached)
}

// GetNamespace returns a platform namespace. Refused with [ReasonNotFound].
func (r *Registry) GetNamespace(ctx context.Context, name string, c Consistency) (Object, error) {
	o, err := r.store.Get(ctx, namespaceKey(name), c)
	if errors.Is(err, ErrNotFound) {
		return Object{}, noNamespace(name)
	}
	return o, err
}

// CreateNamespace creates a platform namespace. Refused with [ReasonAlreadyExists],
// [ReasonInvalidName] or [ReasonInvalidSpec].
func (r *Registry) CreateNamespace(ctx context.Context, name string, bindings ...RoleBinding) (Object, error) {
	if !checkNamespaceName(name) {
		return Object{}, refuse(ReasonInvalidName,
			"%s is not a valid name for a platform namespace: use 1 to 63 characters of a-z, 0-9 and hyphen, with no hyphen at either end", quote(name))
	}
	if err := checkRoleBindings(bindings); err != nil {
		return Object{}, err
	}
	now := r.timestamp()
	stored, err := r.store.Create(ctx, Object{
		Kind:     Namespace,
		Metadata: Metadata{ID: uuid.NewString(), Name: name, CreatedAt: now, ModifiedAt: now, Labels: map[string]string{}, Annotations: map[string]string{}},
		Spec:     NamespaceSpec(bindings),
	})
	if errors.Is(err, ErrExists) {
		return Object{}, refuse(ReasonAlreadyExists, "platform namespace %s already exists: use it, or choose another name", quote(name))
	}
	return stored, err
}

// DeleteNamespace deletes an empty platform namespace, its DeploymentDefaults and its API tokens,
// and returns the last states of it and the tokens: of the deleted tokens also with an error. Refused with [ReasonNotFound], and with
// [ReasonNamespaceInUse] for [DefaultNamespace] and while it has objects.
//
// The guard excludes creations of objects in it. With [SharedWrites] such an object keeps its
// platform namespace.
func (r *Registry) DeleteNamespace(ctx context.Context, name string) (o Object, gone []Object, err error) {
	unlock, err := r.guard.lock(ctx)
	if err != nil {
		return Object{}, nil, err
	}
	defer unlock()
	o, err = r.GetNamespace(ctx, name, Consistent)
	if err != nil {
		return Object{}, nil, err
	}
	if name == DefaultNamespace {
		return Object{}, nil, refuse(ReasonNamespaceInUse, "platform namespace %s cannot be deleted", quote(name))
	}
	for _, kind := range []Kind{Deployment, SessionCluster, DeploymentTarget} {
		inside, err := r.store.List(ctx, kind, name, Consistent)
		if err != nil {
			return Object{}, nil, err
		}
		if len(inside) > 0 {
			return Object{}, nil, refuse(ReasonNamespaceInUse, "platform namespace %s is not empty: delete %s first",
				quote(name), joinSome(inside, func(o Object) string { return fmt.Sprintf("%s %s", o.Kind, quote(o.Metadata.Name)) }))
		}
	}
	defaults, err := r.store.Get(ctx, Key{DeploymentDefaults, name, DefaultsName}, Consistent)
	if err == nil {
		err = r.store.Delete(ctx, defaults.Key(), defaults.Metadata.ResourceVersion)
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return Object{}, nil, err
	}
	// Tokens first: they must not be valid for a new namespace of this name.
	tokens, err := r.store.List(ctx, APIToken, name, Consistent)
	if err != nil {
		return Object{}, nil, err
	}
	for _, t := range tokens {
		if err := r.store.Delete(ctx, t.Key(), t.Metadata.ResourceVersion); err != nil {
			return Object{}, gone, err
		}
		gone = append(gone, t)
	}
	return o, gone, r.store.Delete(ctx, namespaceKey(name), o.Metadata.ResourceVersion)
}

// checkPlace refuses a key whose platform namespace does not exist.
func (r *Registry) checkPlace(ctx context.Context, key Key) error {
	if key.Namespace == Everywhere && kinds[key.Kind].everywhere {
		return nil
	}
	return r.checkNamespace(ctx, key.Namespace)
}

// checkNamespace refuses a platform namespace that does not exist. A miss in the directory is
// verified by a consistent read if other processes write to the store.
func (r *Registry) checkNamespace(ctx context.Context, namespace string) error {
	if r.directory.hasNamespace(namespace) || r.anyNamespace && checkNamespaceName(namespace) {
		return nil
	}
	if r.shared() != nil && checkNamespaceName(namespace) {
		_, err := r.GetNamespace(ctx, namespace, Consistent)
		return err
	}
	return noNamespace(namespace)
}

// noNamespace returns the refusal of a missing platform namespace. The message names no others,
// which the user may not be permitted to see.
func noNamespace(namespace string) error {
	return refuse(ReasonNotFound, "platform namespace %s does not exist: list yours with GET /namespaces/v1/namespaces, or create it with POST", quote(namespace))
}

func namespaceKey(name string) Key { return Key{Kind: Namespace, Name: name} }
