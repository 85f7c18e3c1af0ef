package registry

import (
	"context"
	"errors"
	"fmt"
)

// SharedStore is a [Store] that several processes write to. The registry's lock
// holds in one process; of "create a Deployment" in one and "delete its target"
// in another the store sees to it that one comes first.
//
// The two meet on the object that is referred to: who deletes it marks it, looks
// for references, and deletes it only if the mark is still there; who has
// written a reference looks at it, and takes a mark away.
type SharedStore interface {
	Store

	// DeleteIf is Delete of an object on which check finds that nothing stands.
	// check may be called more than once, and reads with the context that it is
	// given. Its error is returned, and nothing was deleted then.
	DeleteIf(ctx context.Context, key Key, expected int32, check func(context.Context) error) error

	// Confirm says of an object that it is there, after a reference to it was
	// written: no DeleteIf whose check did not see that reference will delete
	// it. id is that of the object, or empty if any will do. ErrNotFound if it
	// is gone.
	Confirm(ctx context.Context, key Key, id string) error
}

// remove deletes an object on which nothing of the registry stands. The caller
// holds the guard.
func (r *Registry) remove(ctx context.Context, o Object) error {
	check := func(ctx context.Context) error { return r.checkUnreferenced(ctx, o, r.registered) }
	if shared, ok := r.store.(SharedStore); ok && (o.Kind == DeploymentTarget || o.Kind == SessionCluster) {
		return shared.DeleteIf(ctx, o.Key(), o.Metadata.ResourceVersion, check)
	}
	if err := check(ctx); err != nil {
		return err
	}
	return r.store.Delete(ctx, o.Key(), o.Metadata.ResourceVersion)
}

// confirmReferences makes sure, after o was written, that what it refers to has
// not been deleted by another process since it was looked for. Else the write is
// undone, and refused.
func (r *Registry) confirmReferences(ctx context.Context, o Object, undo func() error) error {
	shared, ok := r.store.(SharedStore)
	if !ok {
		return nil
	}
	refs, err := kinds[o.Kind].refersTo(o.Spec)
	if err != nil {
		return err
	}
	for _, ref := range refs {
		key, found, err := r.locate(ctx, o.Metadata.Namespace, ref)
		if err != nil {
			return err
		}
		if found {
			err = shared.Confirm(ctx, key, ref.id)
		}
		if !found || errors.Is(err, ErrNotFound) {
			// Whoever changed the object since has looked at what it refers to.
			if err := undo(); err != nil && !errors.Is(err, ErrConflict) && !errors.Is(err, ErrNotFound) {
				return fmt.Errorf("undo the write of %s, whose %s was deleted meanwhile: %w", name(o.Key()), ref.kind, err)
			}
			return unknownReference(o, ref)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func unknownReference(o Object, ref ref) error {
	return refuse(ReasonUnknownReference, "%s: there is no %s in platform namespace %s: create it first, or correct the field",
		ref.field, ref, quote(o.Metadata.Namespace))
}
