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
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	r := codec.Resources[kind]
	s.mu.RLock()
	if r == nil || c == registry.Cached && !s.lags(kind) {
		defer s.mu.RUnlock()
		return s.present(kind, namespace), nil
	}
	s.mu.RUnlock()
	return s.listLive(ctx, r, namespace)
}

// listLive lists what the API server has at this moment, and shows of it what
// the mirror would.
func (s *Store) listLive(ctx context.Context, r *codec.Resource, namespace string) ([]registry.Object, error) {
	namespace = cmp.Or(namespace, s.options.Only)
	if namespace != "" && !isPathSegment(namespace) {
		return []registry.Object{}, nil
	}
	into := r.NewList()
	err := s.ask(ctx, "list "+r.Plural, func(ctx context.Context) error {
		return s.request("GET").NamespaceIfScoped(namespace, namespace != "").Resource(r.Plural).Do(ctx).Into(into)
	})
	if err != nil {
		return nil, err
	}
	first := map[claim]*record{}
	err = meta.EachListItem(into, func(item runtime.Object) error {
		rec := newRecord(r, item.(codec.Object))
		c := rec.nameClaim()
		if rec.object.GetDeletionTimestamp() == nil && (first[c] == nil || before(c)(rec, first[c]) < 0) {
			first[c] = rec
		}
		return nil
	})
	found := []registry.Object{}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, rec := range first {
		found = append(found, s.viewLive(rec))
	}
	inOrder(found)
	return found, err
}

func (s *Store) viewLive(rec *record) registry.Object {
	view := rec.view.Clone()
	view.Metadata.ID = s.idOf(rec)
	return view
}

// Get implements registry.Store.
func (s *Store) Get(ctx context.Context, key registry.Key, c registry.Consistency) (registry.Object, error) {
	if err := s.usable(ctx); err != nil {
		return registry.Object{}, err
	}
	if codec.Resources[key.Kind] == nil {
		return s.getNamespace(ctx, key, c)
	}
	s.mu.RLock()
	rec := s.shown[key]
	if rec != nil && c == registry.Cached && !s.lags(key.Kind) {
		defer s.mu.RUnlock()
		return rec.shown.Clone(), nil
	}
	s.mu.RUnlock()
	rec, err := s.getLive(ctx, key)
	if err != nil {
		return registry.Object{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.viewLive(rec), nil
}

// getLive asks the API server for an object, by the name under which the mirror
// has it or, failing that, by the one under which the store would keep it. An
// object that is on its way out is not found.
func (s *Store) getLive(ctx context.Context, key registry.Key) (*record, error) {
	names := []string{codec.ObjectName(key.Name)}
	s.mu.RLock()
	if rec := s.shown[key]; rec != nil && rec.object.GetName() != names[0] {
		names = slices.Insert(names, 0, rec.object.GetName())
	}
	s.mu.RUnlock()
	for _, name := range names {
		rec, err := s.fetch(ctx, codec.Resources[key.Kind], key.Namespace, name)
		switch {
		case errors.Is(err, registry.ErrNotFound):
		case err != nil:
			return nil, err
		case rec.view.Metadata.Name == key.Name && rec.object.GetDeletionTimestamp() == nil:
			return rec, nil
		}
	}
	return nil, registry.ErrNotFound
}

// fetch gets one object by its name in Kubernetes.
func (s *Store) fetch(ctx context.Context, r *codec.Resource, namespace, name string) (*record, error) {
	if !isPathSegment(namespace) || !isPathSegment(name) {
		return nil, registry.ErrNotFound // no API server has such a thing, or could be asked for it
	}
	into := r.New()
	var notFound bool
	err := s.ask(ctx, "get "+r.Plural+" "+namespace+"/"+name, func(ctx context.Context) error {
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
	return newRecord(r, into), nil
}

// ErrNotServed is that a cluster does not know drey's objects.
var ErrNotServed = errors.New("the cluster does not serve drey's objects")

// Objects reads the registry in a cluster once: targets, Deployments and
// SessionClusters, of one platform namespace or, if it is empty, of all. It takes the
// right to list them, and leaves no watch behind. The error may be [ErrNotServed], or
// refused with [registry.ReasonForbidden].
func Objects(ctx context.Context, config *rest.Config, namespace string) ([]registry.Object, error) {
	s := &Store{mirror: newMirror(), log: slog.New(slog.DiscardHandler), options: Options{Person: true}}
	var err error
	if s.objects, err = newClient(config); err != nil {
		return nil, err
	}
	var all []registry.Object
	for _, kind := range []registry.Kind{registry.DeploymentTarget, registry.SessionCluster, registry.Deployment} {
		found, err := s.listLive(ctx, codec.Resources[kind], namespace)
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

// Watch implements registry.Store.
func (s *Store) Watch(ctx context.Context, kind registry.Kind, observe func(registry.Event)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return err
	}
	s.feed.Add(ctx, kind, s.present(kind, ""), observe)
	return nil
}
