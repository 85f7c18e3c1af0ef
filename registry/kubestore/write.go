package kubestore

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/kubestore/internal/codec"
)

// maxAttempts bounds the retries of a write that conflicts with changes that REST does not
// show, such as a status.
const maxAttempts = 10

// Create implements registry.Store.
func (s *Store) Create(ctx context.Context, o registry.Object) (registry.Object, error) {
	if err := s.checkOpen(ctx); err != nil {
		return registry.Object{}, err
	}
	switch o.Kind {
	case registry.Namespace:
		return s.createNamespace(ctx, o)
	case registry.APIToken:
		return registry.Object{}, tokensNotSupported(o.Metadata.Namespace)
	}
	r := codec.Resources[o.Kind]
	if r == nil {
		return registry.Object{}, unknownKind(o.Kind)
	}
	if err := s.checkNameFree(ctx, o.Key()); err != nil {
		return registry.Object{}, err
	}
	created := r.New()
	created.SetNamespace(o.Metadata.Namespace)
	created.SetName(codec.ObjectName(o.Metadata.Name))
	if created.GetName() != o.Metadata.Name && o.Kind != registry.DeploymentTarget { // only targets have spec.name
		return registry.Object{}, &registry.Error{Reason: registry.ReasonInvalidName, Message: fmt.Sprintf("%s %q: the name is not a valid Kubernetes name", o.Kind, o.Metadata.Name)}
	}
	o.Metadata.ResourceVersion = 1
	if err := r.Encode(o, created); err != nil {
		return registry.Object{}, err
	}
	name := created.GetName()
	stored := r.New()
	err := s.write(ctx, fmt.Sprintf("create %s %s/%s", r.Plural, o.Metadata.Namespace, name), func(ctx context.Context) error {
		return s.request("POST").Namespace(o.Metadata.Namespace).Resource(r.Plural).Body(created).Do(ctx).Into(stored)
	})
	if errors.Is(err, registry.ErrExists) {
		return registry.Object{}, s.existsError(ctx, r, o.Key(), name)
	}
	if err != nil {
		return registry.Object{}, err
	}
	return s.observed(ctx, newRecord(r, stored)), nil
}

// checkNameFree returns ErrExists if an object with another metadata.name has the name in REST.
func (s *Store) checkNameFree(ctx context.Context, key registry.Key) error {
	s.mu.RLock()
	rec := s.owner(key)
	s.mu.RUnlock()
	if rec == nil || rec.objectName() == codec.ObjectName(key.Name) {
		return nil // the API server checks metadata.name
	}
	switch _, err := s.getByName(ctx, rec.Resource, key.Namespace, rec.objectName()); {
	case err == nil:
		return registry.ErrExists
	case errors.Is(err, registry.ErrNotFound):
		return nil
	default:
		return err
	}
}

// existsError returns ErrExists if the object with a metadata.name has the same name in REST,
// and otherwise an error that names the object in the way.
func (s *Store) existsError(ctx context.Context, r *codec.Resource, key registry.Key, name string) error {
	rec, err := s.getByName(ctx, r, key.Namespace, name)
	switch {
	case err != nil, rec.name() == key.Name && !rec.terminating:
		return registry.ErrExists
	case rec.terminating:
		return &registry.Error{Reason: registry.ReasonAlreadyExists, Message: fmt.Sprintf(
			"%s %q is terminating: remove its finalizers: kubectl get %s.drey.dev %s -n %s -o jsonpath={.metadata.finalizers}", key.Kind, key.Name, r.Plural, name, key.Namespace)}
	}
	return &registry.Error{Reason: registry.ReasonAlreadyExists, Message: fmt.Sprintf(
		"%s %q cannot be created: its metadata.name is taken by %s.drey.dev %s in namespace %s, which is %q in REST: choose another name, or delete that object", key.Kind, key.Name, r.Plural, name, key.Namespace, rec.name())}
}

// Update implements registry.Store.
func (s *Store) Update(ctx context.Context, o registry.Object, expected int32) (registry.Object, error) {
	if err := s.checkOpen(ctx); err != nil {
		return registry.Object{}, err
	}
	if o.Kind == registry.Namespace {
		return s.updateNamespace(ctx, o, expected)
	}
	r := codec.Resources[o.Kind]
	if r == nil {
		return registry.Object{}, unknownKind(o.Kind)
	}
	o.Metadata.ResourceVersion = registry.NextVersion(expected)
	var stored codec.Object
	err := s.retryOnConflict(ctx, o.Key(), expected, func(ctx context.Context, rec *record, updated codec.Object) error {
		if updated == nil {
			present, err := s.getUnchanged(ctx, rec)
			if err != nil {
				return err
			}
			updated = present.object
		}
		if err := r.Encode(o, updated); err != nil {
			return err
		}
		stored = r.New()
		return s.write(ctx, fmt.Sprintf("update %s %s/%s", r.Plural, updated.GetNamespace(), updated.GetName()), func(ctx context.Context) error {
			return s.request("PUT").Namespace(updated.GetNamespace()).Resource(r.Plural).Name(updated.GetName()).Body(updated).Do(ctx).Into(stored)
		})
	})
	if err != nil {
		return registry.Object{}, err
	}
	return s.observed(ctx, newRecord(r, stored)), nil
}

// Delete implements registry.Store.
func (s *Store) Delete(ctx context.Context, key registry.Key, expected int32) error {
	if err := s.checkOpen(ctx); err != nil {
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
	var deleted *record
	err := s.retryOnConflict(ctx, key, expected, func(ctx context.Context, rec *record, _ codec.Object) error {
		deleted = rec
		return s.deleteUnchanged(ctx, rec)
	})
	if err == nil {
		s.waitForDeletion(ctx, key.Kind, deleted.uid)
	}
	return err
}

// retryOnConflict runs a write of an object at the expected version in REST. The write states
// the metadata.resourceVersion that it is based on. On a conflict, while the version in REST
// is still the expected one, it runs again on the present object.
func (s *Store) retryOnConflict(ctx context.Context, key registry.Key, expected int32, write func(context.Context, *record, codec.Object) error) error {
	s.mu.RLock()
	rec := s.owner(key)
	s.mu.RUnlock()
	err := registry.ErrConflict
	var object codec.Object
	for range maxAttempts {
		if rec == nil || rec.restVersion() != expected {
			found, err := s.getConsistent(ctx, key)
			if err != nil {
				return err
			}
			if rec, object = found.record, found.object; rec.restVersion() != expected {
				return registry.ErrConflict
			}
		}
		if err = write(ctx, rec, object); !errors.Is(err, registry.ErrConflict) {
			return err
		}
		rec = nil
	}
	return err
}

// getUnchanged gets the object of a record, of which the cache has a part. ErrConflict if it has
// changed.
func (s *Store) getUnchanged(ctx context.Context, rec *record) (*live, error) {
	found, err := s.getByName(ctx, rec.Resource, rec.platform, rec.objectName())
	if err == nil && (found.uid != rec.uid || found.version != rec.version) {
		return nil, registry.ErrConflict
	}
	return found, err
}

// deleteUnchanged deletes an object with its uid and resourceVersion as preconditions.
func (s *Store) deleteUnchanged(ctx context.Context, rec *record) error {
	uid, version := types.UID(rec.uid.String()), strconv.FormatUint(rec.version, 10)
	return s.write(ctx, fmt.Sprintf("delete %s %s/%s", rec.Plural, rec.platform, rec.objectName()), func(ctx context.Context) error {
		return s.request("DELETE").Namespace(rec.platform).Resource(rec.Plural).Name(rec.objectName()).
			Body(&metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid, ResourceVersion: &version}}).Do(ctx).Error()
	})
}

// write makes a write request. It returns ErrExists, ErrConflict and ErrNotFound, and other
// errors as [Store.call] does. operation completes "cannot ...".
func (s *Store) write(ctx context.Context, operation string, request func(context.Context) error) error {
	var storeErr error
	err := s.call(ctx, operation, func(ctx context.Context) error {
		err := request(ctx)
		switch {
		case apierrors.IsAlreadyExists(err):
			storeErr = registry.ErrExists
		case apierrors.IsConflict(err):
			storeErr = registry.ErrConflict
		case apierrors.IsNotFound(err) && !isNamespaceMissing(err) && !isUnknownResource(err):
			storeErr = registry.ErrNotFound
		default:
			return err
		}
		return nil
	})
	if err == nil {
		return storeErr
	}
	return err
}

// observed waits until the cache has a written object, and returns it.
func (s *Store) observed(ctx context.Context, rec *record) registry.Object {
	s.waitForVersion(ctx, rec.Kind, rec.version)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.export(rec)
}

func unknownKind(kind registry.Kind) error {
	return fmt.Errorf("the store does not keep objects of kind %s", kind)
}

// tokensNotSupported refuses API tokens. Kubernetes has its own, which expire, and a store of
// tokens would make the permission to write custom resources a permission to authenticate.
func tokensNotSupported(namespace string) error {
	if namespace == registry.Everywhere {
		namespace = "NAMESPACE"
	}
	return &registry.Error{Reason: registry.ReasonNotSupported, Message: fmt.Sprintf(
		"the Kubernetes store has no API tokens: use the token of a ServiceAccount (kubectl create token NAME -n %s) with RBAC permissions on deploymenttargets.drey.dev, deployments.drey.dev and sessionclusters.drey.dev", namespace)}
}
