package kubestore

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/kubestore/internal/codec"
)

var _ registry.SharedWrites = (*Store)(nil)

// Capabilities implements registry.Store.
func (s *Store) Capabilities() registry.Capabilities {
	return registry.Capabilities{SharedWrites: s}
}

// DeleteIf implements registry.SharedWrites. docs/decisions/006 says why that
// holds. A mark that stays behind, because its author died, hurts nobody: the
// next reference takes it away, the next deletion puts another in its place.
func (s *Store) DeleteIf(ctx context.Context, key registry.Key, expected int32, check func(context.Context) error) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	for range tries {
		rec, err := s.getLive(ctx, key)
		if err != nil {
			return err
		}
		if rec.view.Metadata.ResourceVersion != expected {
			return registry.ErrConflict
		}
		marked, err := s.mark(ctx, rec, uuid.NewString())
		if errors.Is(err, registry.ErrConflict) {
			continue
		}
		if err != nil {
			return err
		}
		if err := check(ctx); err != nil {
			_, _ = s.mark(context.WithoutCancel(ctx), marked, "") // as good as it goes
			return err
		}
		err = s.deleteExactly(ctx, marked)
		if errors.Is(err, registry.ErrConflict) {
			continue // somebody took the mark away, or wrote something else: look again
		}
		if err == nil {
			s.awaitGone(ctx, key.Kind, marked.object.GetUID())
		}
		return err
	}
	return registry.ErrConflict
}

// Confirm implements registry.SharedWrites.
func (s *Store) Confirm(ctx context.Context, key registry.Key, id string) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	for range tries {
		rec, err := s.getLive(ctx, key)
		if err != nil {
			return err
		}
		s.mu.RLock()
		present := s.idOf(rec)
		s.mu.RUnlock()
		if id != "" && id != present {
			return registry.ErrNotFound
		}
		if rec.Status(rec.object).Deleting == "" {
			return nil
		}
		if _, err := s.mark(ctx, rec, ""); !errors.Is(err, registry.ErrConflict) {
			return err
		}
	}
	return &registry.Error{Reason: registry.ReasonConflict, Message: fmt.Sprintf(
		"%s %q changes again and again while it is referred to: try again", key.Kind, key.Name)}
}

// mark writes the mark of an object that is at a version, or takes it away.
func (s *Store) mark(ctx context.Context, rec *record, mark string) (*record, error) {
	o := rec.object.DeepCopyObject().(codec.Object)
	rec.Status(o).Deleting = mark
	kept := rec.New()
	err := s.write(ctx, fmt.Sprintf("update the status of %s %s/%s", rec.Plural, o.GetNamespace(), o.GetName()), func(ctx context.Context) error {
		return s.request("PUT").Namespace(o.GetNamespace()).Resource(rec.Plural).Name(o.GetName()).SubResource("status").Body(o).Do(ctx).Into(kept)
	})
	if err != nil {
		return nil, err
	}
	return newRecord(rec.Resource, kept), nil
}

// deleteExactly deletes an object that has not changed at all.
func (s *Store) deleteExactly(ctx context.Context, rec *record) error {
	o := rec.object
	uid, version := o.GetUID(), o.GetResourceVersion()
	return s.write(ctx, fmt.Sprintf("delete %s %s/%s", rec.Plural, o.GetNamespace(), o.GetName()), func(ctx context.Context) error {
		return s.request("DELETE").Namespace(o.GetNamespace()).Resource(rec.Plural).Name(o.GetName()).
			Body(&metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid, ResourceVersion: &version}}).Do(ctx).Error()
	})
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
	if is := rec.Status(rec.object).Deleting != ""; is == on {
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
