package kubestore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/kubestore/internal/codec"
)

// List implements registry.Store.
func (s *Store) List(ctx context.Context, kind registry.Kind, namespace string, c registry.Consistency) ([]registry.Object, error) {
	if err := s.checkOpen(ctx); err != nil {
		return nil, err
	}
	r := codec.Resources[kind]
	s.mu.RLock()
	if r == nil || c == registry.Cached && !s.hasPending(kind) {
		defer s.mu.RUnlock()
		return s.list(kind, namespace), nil
	}
	s.mu.RUnlock()
	return s.listConsistent(ctx, r, namespace)
}

// listConsistent lists from the API server, and returns what the registry shows of that.
func (s *Store) listConsistent(ctx context.Context, r *codec.Resource, namespace string) ([]registry.Object, error) {
	namespace = cmp.Or(namespace, s.options.PlatformNamespace)
	if namespace != "" && !isPathSegment(namespace) {
		return []registry.Object{}, nil
	}
	into := r.NewList()
	err := s.call(ctx, "list "+r.Plural, func(ctx context.Context) error {
		return s.request("GET").NamespaceIfScoped(namespace, namespace != "").Resource(r.Plural).Do(ctx).Into(into)
	})
	if err != nil {
		return nil, err
	}
	owners := map[registry.Key]*record{}
	err = meta.EachListItem(into, func(item runtime.Object) error {
		rec := newRecord(r, item.(codec.Object))
		key := registry.Key{Kind: rec.Kind, Namespace: rec.platform, Name: rec.name()}
		if !rec.terminating && (owners[key] == nil || older(rec, owners[key]) < 0) {
			owners[key] = rec
		}
		return nil
	})
	found := []registry.Object{}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, rec := range owners {
		found = append(found, s.export(rec))
	}
	sortByKey(found)
	return found, err
}

// export returns a record's view with its id.
func (s *Store) export(rec *record) registry.Object { return rec.view(s.idOf(rec)) }

// Get implements registry.Store.
func (s *Store) Get(ctx context.Context, key registry.Key, c registry.Consistency) (registry.Object, error) {
	if err := s.checkOpen(ctx); err != nil {
		return registry.Object{}, err
	}
	if codec.Resources[key.Kind] == nil {
		return s.getNamespace(ctx, key, c)
	}
	s.mu.RLock()
	rec := s.owner(key)
	if rec != nil && c == registry.Cached && !s.hasPending(key.Kind) {
		id := rec.shownID()
		s.mu.RUnlock()
		return rec.view(id), nil
	}
	s.mu.RUnlock()
	found, err := s.getConsistent(ctx, key)
	if err != nil {
		return registry.Object{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.export(found.record), nil
}

// getConsistent gets an object from the API server: by its metadata.name in the cache, then by
// the metadata.name that the store gives to new objects. Terminating objects are not found.
func (s *Store) getConsistent(ctx context.Context, key registry.Key) (*live, error) {
	names := []string{codec.ObjectName(key.Name)}
	s.mu.RLock()
	if rec := s.owner(key); rec != nil && rec.objectName() != names[0] {
		names = slices.Insert(names, 0, rec.objectName())
	}
	s.mu.RUnlock()
	for _, name := range names {
		rec, err := s.getByName(ctx, codec.Resources[key.Kind], key.Namespace, name)
		switch {
		case errors.Is(err, registry.ErrNotFound):
		case err != nil:
			return nil, err
		case rec.name() == key.Name && !rec.terminating:
			return rec, nil
		}
	}
	return nil, registry.ErrNotFound
}

// getByName gets an object from the API server by its metadata.name.
func (s *Store) getByName(ctx context.Context, r *codec.Resource, namespace, name string) (*live, error) {
	if !isPathSegment(namespace) || !isPathSegment(name) {
		return nil, registry.ErrNotFound // no object has such a name, and no URL can hold it
	}
	into := r.New()
	var notFound bool
	err := s.call(ctx, "get "+r.Plural+" "+namespace+"/"+name, func(ctx context.Context) error {
		err := s.request("GET").Namespace(namespace).Resource(r.Plural).Name(name).Do(ctx).Into(into)
		if notFound = apierrors.IsNotFound(err) && !isUnknownResource(err); notFound {
			return nil
		}
		return err
	})
	if err == nil && notFound {
		err = registry.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return newLive(r, into), nil
}

// Watch implements registry.Store.
func (s *Store) Watch(ctx context.Context, kind registry.Kind, observe func(registry.Event)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.checkOpen(ctx); err != nil {
		return err
	}
	// One object at a time: a list would dominate the memory of a large registry.
	s.all(kind, "", func(o registry.Object) { observe(registry.Event{Change: registry.Added, Object: o}) })
	s.feed.Add(ctx, kind, nil, observe)
	return nil
}

// ErrNotServed means that the cluster does not serve drey's custom resources.
var ErrNotServed = errors.New("the cluster does not serve drey's custom resources")

// ListObjects lists the targets, Deployments and SessionClusters of a cluster without opening
// a store: those of one platform namespace, or all if namespace is empty. The error is
// [ErrNotServed], or has [registry.ReasonForbidden] if the caller may not list them.
func ListObjects(ctx context.Context, config *rest.Config, namespace string) ([]registry.Object, error) {
	s := &Store{objectCache: newObjectCache(), log: slog.New(slog.DiscardHandler), options: Options{UserCredentials: true}}
	var err error
	if s.objects, err = newClient(config); err != nil {
		return nil, err
	}
	var all []registry.Object
	for _, kind := range []registry.Kind{registry.DeploymentTarget, registry.SessionCluster, registry.Deployment} {
		found, err := s.listConsistent(ctx, codec.Resources[kind], namespace)
		switch {
		case apierrors.IsNotFound(err):
			return nil, ErrNotServed
		case err != nil:
			return nil, fmt.Errorf("read the registry in the cluster: %w", err)
		}
		all = append(all, found...)
	}
	return all, nil
}
