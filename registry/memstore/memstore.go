// Package memstore is a registry.Store in memory, for tests and for previews.
package memstore

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"drey.dev/drey/registry"
)

// Store stores objects in memory.
type Store struct {
	feed registry.Feed

	mu      sync.RWMutex
	objects map[registry.Key]registry.Object
	closed  bool
}

var _ registry.Store = (*Store)(nil)

// New returns an empty store.
func New() *Store {
	return &Store{objects: make(map[registry.Key]registry.Object)}
}

// List implements registry.Store.
func (s *Store) List(ctx context.Context, kind registry.Kind, namespace string, _ registry.Consistency) ([]registry.Object, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.checkOpen(ctx); err != nil {
		return nil, err
	}
	return s.list(kind, namespace), nil
}

// Get implements registry.Store.
func (s *Store) Get(ctx context.Context, key registry.Key, _ registry.Consistency) (registry.Object, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.checkOpen(ctx); err != nil {
		return registry.Object{}, err
	}
	o, ok := s.objects[key]
	if !ok {
		return registry.Object{}, registry.ErrNotFound
	}
	return o.Clone(), nil
}

// Create implements registry.Store.
func (s *Store) Create(ctx context.Context, o registry.Object) (registry.Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.checkOpen(ctx); err != nil {
		return registry.Object{}, err
	}
	if _, ok := s.objects[o.Key()]; ok {
		return registry.Object{}, registry.ErrExists
	}
	o = o.Clone()
	o.Metadata.ResourceVersion = 1
	s.objects[o.Key()] = o
	s.feed.Publish(registry.Event{Change: registry.Added, Object: o})
	return o.Clone(), nil
}

// Update implements registry.Store.
func (s *Store) Update(ctx context.Context, o registry.Object, expected int32) (registry.Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.current(ctx, o.Key(), expected); err != nil {
		return registry.Object{}, err
	}
	o = o.Clone()
	o.Metadata.ResourceVersion = registry.NextVersion(expected)
	s.objects[o.Key()] = o
	s.feed.Publish(registry.Event{Change: registry.Modified, Object: o})
	return o.Clone(), nil
}

// Delete implements registry.Store.
func (s *Store) Delete(ctx context.Context, key registry.Key, expected int32) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	current, err := s.current(ctx, key, expected)
	if err != nil {
		return err
	}
	delete(s.objects, key)
	s.feed.Publish(registry.Event{Change: registry.Deleted, Object: current})
	return nil
}

// Watch implements registry.Store.
func (s *Store) Watch(ctx context.Context, kind registry.Kind, observe func(registry.Event)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.checkOpen(ctx); err != nil {
		return err
	}
	s.feed.Add(ctx, kind, s.list(kind, ""), observe)
	return nil
}

// Capabilities implements registry.Store.
func (s *Store) Capabilities() registry.Capabilities {
	return registry.Capabilities{APITokens: true, ExactSpecs: true}
}

// Close implements registry.Store.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.feed.Close()
	return nil
}

func (s *Store) checkOpen(ctx context.Context) error {
	if s.closed {
		return registry.ErrClosed
	}
	return ctx.Err()
}

func (s *Store) current(ctx context.Context, key registry.Key, expected int32) (registry.Object, error) {
	if err := s.checkOpen(ctx); err != nil {
		return registry.Object{}, err
	}
	o, ok := s.objects[key]
	if !ok {
		return registry.Object{}, registry.ErrNotFound
	}
	if o.Metadata.ResourceVersion != expected {
		return registry.Object{}, registry.ErrConflict
	}
	return o, nil
}

func (s *Store) list(kind registry.Kind, namespace string) []registry.Object {
	found := []registry.Object{}
	for key, o := range s.objects {
		if key.Kind == kind && (namespace == "" || key.Namespace == namespace) {
			found = append(found, o.Clone())
		}
	}
	slices.SortFunc(found, func(a, b registry.Object) int {
		return cmp.Or(cmp.Compare(a.Metadata.Namespace, b.Metadata.Namespace), cmp.Compare(a.Metadata.Name, b.Metadata.Name))
	})
	return found
}
