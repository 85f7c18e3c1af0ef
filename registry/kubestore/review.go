package kubestore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"drey.dev/drey/registry"
)

// Decode reads an object that somebody would write to the cluster, as an admission
// review has it. It returns the object as REST would show it, but for an id that
// another has, its metadata.name, and what it counts against the quota, in bytes.
func Decode(kind registry.Kind, text []byte) (o registry.Object, name string, size int64, err error) {
	r := resources[kind]
	if r == nil {
		return registry.Object{}, "", 0, unknownKind(kind)
	}
	into := r.empty()
	if err := json.Unmarshal(text, into); err != nil {
		return registry.Object{}, "", 0, fmt.Errorf("read a %s: %w", kind, err)
	}
	o = r.toRegistry(into)
	return o, into.GetName(), sizeOf(into, o), nil
}

// Holder returns the object that has a name in REST, as it is at this moment, and
// its metadata.name. ErrNotFound if there is none.
func (s *Store) Holder(ctx context.Context, key registry.Key) (o registry.Object, name string, err error) {
	if err := s.usable(ctx); err != nil {
		return registry.Object{}, "", err
	}
	if resources[key.Kind] == nil {
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
	r := resources[object.Kind]
	if r == nil {
		return nil, unknownKind(object.Kind)
	}
	return s.fetch(ctx, r, object.Namespace, object.Name)
}

// MarkDeleting marks the object of a kind, namespace and metadata.name that somebody else
// is about to delete; or takes the mark away again. The API server then has it reviewed
// again, for it has changed, and deletes it only if the mark is still there: so kubectl
// takes the way that [Store.DeleteIf] takes. What is written is the object as it is read
// here, with another mark, if it still has the uid and the resourceVersion. Nothing is
// written if the object is as it should be, or is not what it was.
func (s *Store) MarkDeleting(ctx context.Context, object registry.Key, uid, resourceVersion string, on bool) error {
	rec, err := s.stored(ctx, object)
	switch {
	case errors.Is(err, registry.ErrNotFound):
		return nil // the API server sees that, too
	case err != nil:
		return err
	case string(rec.object.GetUID()) != uid, rec.object.GetResourceVersion() != resourceVersion:
		return nil // likewise
	}
	if is := rec.status(rec.object).Deleting != ""; is == on {
		return nil
	}
	mark := ""
	if on {
		mark = uuid.NewString()
	}
	_, err = s.mark(ctx, rec, mark)
	if errors.Is(err, registry.ErrConflict) || errors.Is(err, registry.ErrNotFound) {
		return nil // likewise
	}
	return err
}
