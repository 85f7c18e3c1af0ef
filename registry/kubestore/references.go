package kubestore

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"drey.dev/drey/registry"
)

var _ registry.SharedWrites = (*Store)(nil)

// Capabilities implements registry.Store.
func (s *Store) Capabilities() registry.Capabilities {
	return registry.Capabilities{SharedWrites: s}
}

// DeleteIf implements registry.SharedWrites (docs/explanation/decisions/006). The mark is status.deleting.
// One that stays behind, because its author crashed, is harmless: the next reference removes
// it, and the next deletion replaces it.
func (s *Store) DeleteIf(ctx context.Context, key registry.Key, expected int32, check func(context.Context) error) error {
	if err := s.checkOpen(ctx); err != nil {
		return err
	}
	for range maxAttempts {
		rec, err := s.getConsistent(ctx, key)
		if err != nil {
			return err
		}
		if rec.restVersion() != expected {
			return registry.ErrConflict
		}
		marked, err := s.setDeletionMark(ctx, rec, uuid.NewString())
		if errors.Is(err, registry.ErrConflict) {
			continue
		}
		if err != nil {
			return err
		}
		if err := check(ctx); err != nil {
			_, _ = s.setDeletionMark(context.WithoutCancel(ctx), marked, "") // best effort
			return err
		}
		err = s.deleteUnchanged(ctx, marked.record)
		if errors.Is(err, registry.ErrConflict) {
			continue // a writer removed the mark, or changed something else
		}
		if err == nil {
			s.waitForDeletion(ctx, key.Kind, marked.uid)
		}
		return err
	}
	return registry.ErrConflict
}

// Confirm implements registry.SharedWrites.
func (s *Store) Confirm(ctx context.Context, key registry.Key, id string) error {
	if err := s.checkOpen(ctx); err != nil {
		return err
	}
	for range maxAttempts {
		rec, err := s.getConsistent(ctx, key)
		if err != nil {
			return err
		}
		s.mu.RLock()
		present := s.idOf(rec.record).String()
		s.mu.RUnlock()
		if id != "" && id != present {
			return registry.ErrNotFound
		}
		if rec.Status(rec.object).Deleting == "" {
			return nil
		}
		if _, err := s.setDeletionMark(ctx, rec, ""); !errors.Is(err, registry.ErrConflict) {
			return err
		}
	}
	return &registry.Error{Reason: registry.ReasonConflict, Message: fmt.Sprintf(
		"cannot refer to %s %q: it changed %d times meanwhile: try again", key.Kind, key.Name, maxAttempts)}
}

// MarkDeleting sets or removes the deletion mark of an object, addressed by its metadata.name,
// that another client is deleting. The change makes the API server send the deletion for
// admission again, so a deletion with kubectl follows the protocol of [Store.DeleteIf]. The
// write has uid and resourceVersion as preconditions; nothing is written if they are not met
// or if the mark is as wanted.
func (s *Store) MarkDeleting(ctx context.Context, object registry.Key, uid, resourceVersion string, on bool) error {
	rec, err := s.getByMetadataName(ctx, object)
	switch {
	case errors.Is(err, registry.ErrNotFound):
		return nil // the API server reports that
	case err != nil:
		return err
	case string(rec.object.GetUID()) != uid, rec.object.GetResourceVersion() != resourceVersion:
		return nil // the API server reports that
	}
	if marked := rec.Status(rec.object).Deleting != ""; marked == on {
		return nil
	}
	mark := ""
	if on {
		mark = uuid.NewString()
	}
	_, err = s.setDeletionMark(ctx, rec, mark)
	if errors.Is(err, registry.ErrConflict) || errors.Is(err, registry.ErrNotFound) {
		return nil // the API server reports that
	}
	return err
}

// setDeletionMark sets the deletion mark of an object, or removes it if mark is "". It returns
// ErrConflict unless the object is unchanged.
func (s *Store) setDeletionMark(ctx context.Context, rec *live, mark string) (*live, error) {
	o := rec.object
	rec.Status(o).Deleting = mark
	stored := rec.New()
	err := s.write(ctx, fmt.Sprintf("update the status of %s %s/%s", rec.Plural, o.GetNamespace(), o.GetName()), func(ctx context.Context) error {
		return s.request("PUT").Namespace(o.GetNamespace()).Resource(rec.Plural).Name(o.GetName()).SubResource("status").Body(o).Do(ctx).Into(stored)
	})
	if err != nil {
		return nil, err
	}
	return newLive(rec.Resource, stored), nil
}
