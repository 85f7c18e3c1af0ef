package kubestore

import (
	"cmp"
	"context"
	"errors"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"

	"drey.dev/drey/registry"
)

// List implements registry.Store.
func (s *Store) List(ctx context.Context, kind registry.Kind, namespace string) ([]registry.Object, error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	r := resources[kind]
	s.mu.RLock()
	if r == nil || !registry.IsCurrent(ctx) && !s.lags(kind) {
		defer s.mu.RUnlock()
		return s.present(kind, namespace), nil
	}
	s.mu.RUnlock()
	return s.listLive(ctx, r, namespace)
}

// present lists what the mirror shows.
func (m *mirror) present(kind registry.Kind, namespace string) []registry.Object {
	found := []registry.Object{}
	if kind == registry.Namespace {
		for _, n := range m.namespaces {
			if n.shown && namespace == "" {
				found = append(found, n.view())
			}
		}
	}
	for key, rec := range m.shown {
		if key.Kind == kind && (namespace == "" || key.Namespace == namespace) {
			found = append(found, rec.shown.Clone())
		}
	}
	inOrder(found)
	return found
}

func inOrder(list []registry.Object) {
	slices.SortFunc(list, func(a, b registry.Object) int {
		return cmp.Or(cmp.Compare(a.Metadata.Namespace, b.Metadata.Namespace), cmp.Compare(a.Metadata.Name, b.Metadata.Name))
	})
}

// listLive lists what the API server has at this moment, and shows of it what
// the mirror would.
func (s *Store) listLive(ctx context.Context, r *resource, namespace string) ([]registry.Object, error) {
	namespace = cmp.Or(namespace, s.options.Only)
	if namespace != "" && !isPathSegment(namespace) {
		return []registry.Object{}, nil
	}
	into := r.emptyList()
	err := s.ask(ctx, "list "+r.plural, func(ctx context.Context) error {
		return s.request("GET").NamespaceIfScoped(namespace, namespace != "").Resource(r.plural).Do(ctx).Into(into)
	})
	if err != nil {
		return nil, err
	}
	first := map[claim]*record{}
	err = meta.EachListItem(into, func(item runtime.Object) error {
		rec := newRecord(r, item.(object))
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
func (s *Store) Get(ctx context.Context, key registry.Key) (registry.Object, error) {
	if err := s.usable(ctx); err != nil {
		return registry.Object{}, err
	}
	if resources[key.Kind] == nil {
		return s.getNamespace(ctx, key)
	}
	s.mu.RLock()
	rec := s.shown[key]
	if rec != nil && !registry.IsCurrent(ctx) && !s.lags(key.Kind) {
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
	names := []string{objectName(key.Name)}
	s.mu.RLock()
	if rec := s.shown[key]; rec != nil && rec.object.GetName() != names[0] {
		names = slices.Insert(names, 0, rec.object.GetName())
	}
	s.mu.RUnlock()
	for _, name := range names {
		rec, err := s.fetch(ctx, resources[key.Kind], key.Namespace, name)
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
func (s *Store) fetch(ctx context.Context, r *resource, namespace, name string) (*record, error) {
	if !isPathSegment(namespace) || !isPathSegment(name) {
		return nil, registry.ErrNotFound // no API server has such a thing, or could be asked for it
	}
	into := r.empty()
	var notFound bool
	err := s.ask(ctx, "get "+r.plural+" "+namespace+"/"+name, func(ctx context.Context) error {
		err := s.request("GET").Namespace(namespace).Resource(r.plural).Name(name).Do(ctx).Into(into)
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
