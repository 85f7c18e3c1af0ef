package kubestore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/kubestore/internal/codec"
)

// Decode reads an object that somebody would write to the cluster, as an admission
// review has it. It returns the object as REST would show it, but for an id that
// another has, its metadata.name, and what it counts against the quota, in bytes.
func Decode(kind registry.Kind, text []byte) (o registry.Object, name string, size int64, err error) {
	r := codec.Resources[kind]
	if r == nil {
		return registry.Object{}, "", 0, unknownKind(kind)
	}
	into := r.New()
	if err := json.Unmarshal(text, into); err != nil {
		return registry.Object{}, "", 0, fmt.Errorf("read a %s: %w", kind, err)
	}
	o = r.Decode(into)
	return o, into.GetName(), codec.Size(into, o), nil
}

// Holder returns the object that has a name in REST, as it is at this moment, and
// its metadata.name. ErrNotFound if there is none.
func (s *Store) Holder(ctx context.Context, key registry.Key) (o registry.Object, name string, err error) {
	if err := s.usable(ctx); err != nil {
		return registry.Object{}, "", err
	}
	if codec.Resources[key.Kind] == nil {
		return registry.Object{}, "", unknownKind(key.Kind)
	}
	rec, err := s.getLive(ctx, key)
	if err != nil {
		return registry.Object{}, "", err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.viewLive(rec), rec.object.GetName(), nil
}

// Has reports whether the object of a kind, namespace and metadata.name has a uid at this
// moment.
func (s *Store) Has(ctx context.Context, object registry.Key, uid string) (bool, error) {
	rec, err := s.stored(ctx, object)
	if errors.Is(err, registry.ErrNotFound) {
		return false, nil
	}
	return err == nil && string(rec.object.GetUID()) == uid, err
}

func (s *Store) stored(ctx context.Context, object registry.Key) (*record, error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	r := codec.Resources[object.Kind]
	if r == nil {
		return nil, unknownKind(object.Kind)
	}
	return s.fetch(ctx, r, object.Namespace, object.Name)
}

// Stored returns the bytes in use of a platform namespace: of all objects in the Kubernetes
// namespace, also of those that REST does not show. It reads the mirror.
func (s *Store) Stored(platformNamespace string) int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.sizes[platformNamespace]
}
