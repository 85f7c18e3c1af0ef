package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"
)

// Namespaces returns the platform namespaces, ordered by name.
func (r *Registry) Namespaces(ctx context.Context) ([]Object, error) {
	return r.store.List(ctx, Namespace, "", Cached)
}

// GetNamespace returns one platform namespace. Refused with [ReasonNotFound].
func (r *Registry) GetNamespace(ctx context.Context, name string, c Consistency) (Object, error) {
	o, err := r.store.Get(ctx, namespaceKey(name), c)
	if errors.Is(err, ErrNotFound) {
		return Object{}, noNamespace(name)
	}
	return o, err
}

// CreateNamespace makes a platform namespace. Refused with
// [ReasonAlreadyExists] or [ReasonInvalidName].
func (r *Registry) CreateNamespace(ctx context.Context, name string) (Object, error) {
	if !checkNamespaceName(name) {
		return Object{}, refuse(ReasonInvalidName,
			"%s is not a name for a platform namespace: use 1 to 63 characters of a-z, 0-9 and hyphen, with no hyphen at either end", quote(name))
	}
	now := r.timestamp()
	kept, err := r.store.Create(ctx, Object{
		Kind:     Namespace,
		Metadata: Metadata{ID: uuid.NewString(), Name: name, CreatedAt: now, ModifiedAt: now, Labels: map[string]string{}, Annotations: map[string]string{}},
		Spec:     json.RawMessage("{}"),
	})
	if errors.Is(err, ErrExists) {
		return Object{}, refuse(ReasonAlreadyExists, "platform namespace %s exists already", quote(name))
	}
	return kept, err
}

// DeleteNamespace removes an empty platform namespace, with the tokens that let
// people into it, and returns its last state and theirs: of those tokens that are
// gone, also with an error. Refused with [ReasonNotFound], and with
// [ReasonNamespaceInUse] for [DefaultNamespace] and while something is in it.
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
		return Object{}, nil, refuse(ReasonNamespaceInUse, "platform namespace %s always exists", quote(name))
	}
	for _, kind := range []Kind{Deployment, SessionCluster, DeploymentTarget} {
		inside, err := r.store.List(ctx, kind, name, Consistent)
		if err != nil {
			return Object{}, nil, err
		}
		if len(inside) > 0 {
			return Object{}, nil, refuse(ReasonNamespaceInUse, "platform namespace %s is not empty: delete %s first",
				quote(name), listSome(inside, func(o Object) string { return fmt.Sprintf("%s %s", o.Kind, quote(o.Metadata.Name)) }))
		}
	}
	// The tokens first: they must not open a namespace that is made anew.
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

// checkPlace refuses a key in a platform namespace that does not exist.
func (r *Registry) checkPlace(ctx context.Context, key Key) error {
	if key.Namespace == Everywhere && kinds[key.Kind].everywhere {
		return nil
	}
	return r.checkNamespace(ctx, key.Namespace)
}

// checkNamespace answers from memory, but that of what nobody here has heard of the
// store is asked, if another process may have made it a moment ago.
func (r *Registry) checkNamespace(ctx context.Context, namespace string) error {
	if r.known.hasNamespace(namespace) {
		return nil
	}
	if r.shared() != nil && checkNamespaceName(namespace) {
		_, err := r.GetNamespace(ctx, namespace, Consistent)
		return err
	}
	return noNamespace(namespace)
}

// noNamespace does not say which there are: not everybody may know that.
func noNamespace(namespace string) error {
	return refuse(ReasonNotFound, "platform namespace %s does not exist: GET /namespaces/v1/namespaces lists those that you may see, POST there makes one", quote(namespace))
}

func namespaceKey(name string) Key { return Key{Kind: Namespace, Name: name} }
