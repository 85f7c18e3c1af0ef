package kubestore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/kubestore/internal/codec"
)

// Decode decodes a custom resource of an admission request. It returns the object as REST
// would show it, with the requested id; its metadata.name; and the bytes that it counts
// against the quota.
func Decode(kind registry.Kind, text []byte) (o registry.Object, name string, size int64, err error) {
	r := codec.Resources[kind]
	if r == nil {
		return registry.Object{}, "", 0, unknownKind(kind)
	}
	into := r.New()
	if err := json.Unmarshal(text, into); err != nil {
		return registry.Object{}, "", 0, fmt.Errorf("decode a %s: %w", kind, err)
	}
	o = r.Decode(into)
	return o, into.GetName(), codec.Size(into, o), nil
}

// Lookup returns the object with a name in REST, by a consistent read, and its metadata.name.
// ErrNotFound if there is none.
func (s *Store) Lookup(ctx context.Context, key registry.Key) (o registry.Object, name string, err error) {
	if err := s.checkOpen(ctx); err != nil {
		return registry.Object{}, "", err
	}
	if codec.Resources[key.Kind] == nil {
		return registry.Object{}, "", unknownKind(key.Kind)
	}
	rec, err := s.getConsistent(ctx, key)
	if err != nil {
		return registry.Object{}, "", err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.export(rec.record), rec.objectName(), nil
}

// MetadataName returns the metadata.name of an object in the cache. ok is false if there is none.
func (s *Store) MetadataName(key registry.Key) (name string, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	rec := s.owner(key)
	if rec == nil {
		return "", false
	}
	return rec.objectName(), true
}

// HasUID reports, by a consistent read, whether the object with a metadata.name has a uid.
func (s *Store) HasUID(ctx context.Context, object registry.Key, uid string) (bool, error) {
	rec, err := s.getByMetadataName(ctx, object)
	if errors.Is(err, registry.ErrNotFound) {
		return false, nil
	}
	return err == nil && string(rec.object.GetUID()) == uid, err
}

// getByMetadataName gets an object from the API server. object has its metadata.name.
func (s *Store) getByMetadataName(ctx context.Context, object registry.Key) (*live, error) {
	if err := s.checkOpen(ctx); err != nil {
		return nil, err
	}
	r := codec.Resources[object.Kind]
	if r == nil {
		return nil, unknownKind(object.Kind)
	}
	return s.getByName(ctx, r, object.Namespace, object.Name)
}

// Stored returns the bytes in use of a platform namespace, from the cache: of all objects in
// the Kubernetes namespace, including those that REST does not show.
func (s *Store) Stored(platformNamespace string) int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.sizes[platformNamespace]
}
