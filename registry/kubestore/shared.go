package kubestore

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"drey.dev/drey/registry"
)

var _ registry.SharedStore = (*Store)(nil)

// DeleteIf implements registry.SharedStore. docs/decisions/006 says why that
// holds. A mark that stays behind, because its author died, hurts nobody: the
// next reference takes it away, the next deletion puts another in its place.
func (s *Store) DeleteIf(ctx context.Context, key registry.Key, expected int32, check func(context.Context) error) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	ctx = registry.Current(ctx)
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

// Confirm implements registry.SharedStore.
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
		if rec.status(rec.object).Deleting == "" {
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
	o := rec.object.DeepCopyObject().(object)
	rec.status(o).Deleting = mark
	kept := rec.empty()
	err := s.write(ctx, fmt.Sprintf("update the status of %s %s/%s", rec.plural, o.GetNamespace(), o.GetName()), func(ctx context.Context) error {
		return s.request("PUT").Namespace(o.GetNamespace()).Resource(rec.plural).Name(o.GetName()).SubResource("status").Body(o).Do(ctx).Into(kept)
	})
	if err != nil {
		return nil, err
	}
	return newRecord(rec.resource, kept), nil
}

// deleteExactly deletes an object that has not changed at all.
func (s *Store) deleteExactly(ctx context.Context, rec *record) error {
	o := rec.object
	uid, version := o.GetUID(), o.GetResourceVersion()
	return s.write(ctx, fmt.Sprintf("delete %s %s/%s", rec.plural, o.GetNamespace(), o.GetName()), func(ctx context.Context) error {
		return s.request("DELETE").Namespace(o.GetNamespace()).Resource(rec.plural).Name(o.GetName()).
			Body(&metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid, ResourceVersion: &version}}).Do(ctx).Error()
	})
}
