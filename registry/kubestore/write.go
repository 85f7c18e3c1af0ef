package kubestore

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/kubestore/internal/codec"
)

// tries is how often a write is repeated because somebody wrote what REST does
// not show, such as a status.
const tries = 10

// Create implements registry.Store.
func (s *Store) Create(ctx context.Context, o registry.Object) (registry.Object, error) {
	if err := s.usable(ctx); err != nil {
		return registry.Object{}, err
	}
	switch o.Kind {
	case registry.Namespace:
		return s.createNamespace(ctx, o.Metadata.Name)
	case registry.APIToken:
		return registry.Object{}, noTokens(o.Metadata.Namespace)
	}
	r := codec.Resources[o.Kind]
	if r == nil {
		return registry.Object{}, unknownKind(o.Kind)
	}
	if err := s.checkTaken(ctx, o.Key()); err != nil {
		return registry.Object{}, err
	}
	made := r.New()
	made.SetNamespace(o.Metadata.Namespace)
	made.SetName(codec.ObjectName(o.Metadata.Name))
	if made.GetName() != o.Metadata.Name && o.Kind != registry.DeploymentTarget { // whose spec has room for a name
		return registry.Object{}, &registry.Error{Reason: registry.ReasonInvalidName, Message: fmt.Sprintf("Kubernetes cannot hold a %s of the name %q", o.Kind, o.Metadata.Name)}
	}
	o.Metadata.ResourceVersion = 1
	if err := r.Encode(o, made); err != nil {
		return registry.Object{}, err
	}
	name := made.GetName()
	kept := r.New()
	err := s.write(ctx, fmt.Sprintf("create %s %s/%s", r.Plural, o.Metadata.Namespace, name), func(ctx context.Context) error {
		return s.request("POST").Namespace(o.Metadata.Namespace).Resource(r.Plural).Body(made).Do(ctx).Into(kept)
	})
	if errors.Is(err, registry.ErrExists) {
		return registry.Object{}, s.whyExists(ctx, r, o.Key(), name)
	}
	if err != nil {
		return registry.Object{}, err
	}
	return s.written(ctx, newRecord(r, kept)), nil
}

// checkTaken refuses to make an object whose name in REST belongs to one that
// somebody made under another name in Kubernetes.
func (s *Store) checkTaken(ctx context.Context, key registry.Key) error {
	s.mu.RLock()
	rec := s.shown[key]
	s.mu.RUnlock()
	if rec == nil || rec.object.GetName() == codec.ObjectName(key.Name) {
		return nil // the API server knows
	}
	switch _, err := s.fetch(ctx, rec.Resource, key.Namespace, rec.object.GetName()); {
	case err == nil:
		return registry.ErrExists
	case errors.Is(err, registry.ErrNotFound):
		return nil
	default:
		return err
	}
}

// whyExists tells an object of the same name in REST from one that has the name
// in Kubernetes alone.
func (s *Store) whyExists(ctx context.Context, r *codec.Resource, key registry.Key, name string) error {
	rec, err := s.fetch(ctx, r, key.Namespace, name)
	switch {
	case err != nil, rec.view.Metadata.Name == key.Name && rec.object.GetDeletionTimestamp() == nil:
		return registry.ErrExists
	case rec.object.GetDeletionTimestamp() != nil:
		return &registry.Error{Reason: registry.ReasonAlreadyExists, Message: fmt.Sprintf(
			"%s %q is still being deleted, for something holds it back: kubectl get %s.drey.dev %s -n %s -o jsonpath={.metadata.finalizers} says what", key.Kind, key.Name, r.Plural, name, key.Namespace)}
	}
	return &registry.Error{Reason: registry.ReasonAlreadyExists, Message: fmt.Sprintf(
		"%s %q has its place in Kubernetes taken by %s.drey.dev %s in namespace %s, which is %q in REST: choose another name, or delete that one", key.Kind, key.Name, r.Plural, name, key.Namespace, rec.view.Metadata.Name)}
}

// Update implements registry.Store.
func (s *Store) Update(ctx context.Context, o registry.Object, expected int32) (registry.Object, error) {
	if err := s.usable(ctx); err != nil {
		return registry.Object{}, err
	}
	r := codec.Resources[o.Kind]
	if r == nil {
		return registry.Object{}, unknownKind(o.Kind)
	}
	o.Metadata.ResourceVersion = codec.NextVersion(expected)
	var kept codec.Object
	err := s.change(ctx, o.Key(), expected, func(ctx context.Context, rec *record) error {
		changed := rec.object.DeepCopyObject().(codec.Object)
		if err := r.Encode(o, changed); err != nil {
			return err
		}
		kept = r.New()
		return s.write(ctx, fmt.Sprintf("update %s %s/%s", r.Plural, changed.GetNamespace(), changed.GetName()), func(ctx context.Context) error {
			return s.request("PUT").Namespace(changed.GetNamespace()).Resource(r.Plural).Name(changed.GetName()).Body(changed).Do(ctx).Into(kept)
		})
	})
	if err != nil {
		return registry.Object{}, err
	}
	return s.written(ctx, newRecord(r, kept)), nil
}

// Delete implements registry.Store.
func (s *Store) Delete(ctx context.Context, key registry.Key, expected int32) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	r := codec.Resources[key.Kind]
	switch {
	case key.Kind == registry.Namespace:
		return s.deleteNamespace(ctx, key.Name, expected)
	case key.Kind == registry.APIToken:
		return registry.ErrNotFound
	case r == nil:
		return unknownKind(key.Kind)
	}
	var gone codec.Object
	err := s.change(ctx, key, expected, func(ctx context.Context, rec *record) error {
		gone = rec.object
		return s.deleteExactly(ctx, rec)
	})
	if err == nil {
		s.awaitGone(ctx, key.Kind, gone.GetUID())
	}
	return err
}

// change runs one write of an object that is at the expected version. The write
// states the full resourceVersion that it builds on. If that is not the current
// one, and the object still has the expected version, somebody wrote what REST
// does not show: it builds on that, then.
func (s *Store) change(ctx context.Context, key registry.Key, expected int32, write func(context.Context, *record) error) error {
	s.mu.RLock()
	rec := s.shown[key]
	s.mu.RUnlock()
	err := registry.ErrConflict
	for range tries {
		if rec == nil || rec.view.Metadata.ResourceVersion != expected {
			var missing error
			if rec, missing = s.getLive(ctx, key); missing != nil {
				return missing
			}
			if rec.view.Metadata.ResourceVersion != expected {
				return registry.ErrConflict
			}
		}
		if err = write(ctx, rec); !errors.Is(err, registry.ErrConflict) {
			return err
		}
		rec = nil
	}
	return err
}

// write makes one request that changes something, and says of its failure what
// that means to whoever calls a store.
func (s *Store) write(ctx context.Context, doing string, request func(context.Context) error) error {
	var known error
	err := s.ask(ctx, doing, func(ctx context.Context) error {
		err := request(ctx)
		switch {
		case apierrors.IsAlreadyExists(err):
			known = registry.ErrExists
		case apierrors.IsConflict(err):
			known = registry.ErrConflict
		case apierrors.IsNotFound(err) && !isNamespaceMissing(err) && !isUnknownResource(err):
			known = registry.ErrNotFound
		default:
			return err
		}
		return nil
	})
	if err == nil {
		return known
	}
	return err
}

// written waits until everybody here sees what was written, and returns it.
func (s *Store) written(ctx context.Context, rec *record) registry.Object {
	s.awaitWrite(ctx, rec.Kind, rec.version)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.viewLive(rec)
}

func unknownKind(kind registry.Kind) error {
	return fmt.Errorf("the store keeps no %s", kind)
}

// noTokens refuses to keep an API token. The cluster has tokens of its own, with
// an end and without a secret that drey would have to keep; a second sort beside
// them would take the right to write what lets people in.
func noTokens(namespace string) error {
	if namespace == registry.Everywhere {
		namespace = "NAMESPACE"
	}
	return &registry.Error{Reason: registry.ReasonNotSupported, Message: fmt.Sprintf(
		"there are no API tokens while the cluster keeps the registry: use the token of a ServiceAccount (kubectl create token NAME -n %s), which RBAC gives rights on deploymenttargets.drey.dev and the like", namespace)}
}
