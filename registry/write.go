package registry

import (
	"context"
	"errors"
	"maps"

	"github.com/google/uuid"
)

// Create creates an object and returns it as stored, with server-side metadata. by is the
// user who creates it; nil: drey. Refused with [ReasonAlreadyExists],
// [ReasonInvalidName], [ReasonInvalidSpec], [ReasonUnknownReference],
// [ReasonNotFound] (the platform namespace), [ReasonQuotaExceeded] or [ReasonClaimForbidden].
func (r *Registry) Create(ctx context.Context, o Object, by Requester) (Object, error) {
	o, err := r.admit(ctx, o)
	if err != nil {
		return Object{}, err
	}
	if o, err = r.withDefaultTarget(ctx, o); err != nil {
		return Object{}, err
	}
	if err := r.checkClaim(ctx, o, by); err != nil { // a request to the cluster: before the guard
		return Object{}, err
	}
	stored, err := r.createGuarded(ctx, o)
	if err != nil {
		return Object{}, err
	}
	r.notifyTargetCreated(ctx, stored)
	return stored, nil
}

func (r *Registry) createGuarded(ctx context.Context, o Object) (Object, error) {
	unlock, err := r.guard.share(ctx)
	if err != nil {
		return Object{}, err
	}
	defer unlock()
	if err := r.checkPlace(ctx, o.Key()); err != nil { // may have been deleted meanwhile
		return Object{}, err
	}
	if err := r.checkReferences(ctx, o); err != nil {
		return Object{}, err
	}
	stored, err := r.create(ctx, o)
	if errors.Is(err, ErrExists) {
		return Object{}, exists(o.Key())
	}
	return stored, err
}

// notifyTargetCreated calls OnTargetCreated. It must not hold the guard, which would block
// other writers.
func (r *Registry) notifyTargetCreated(ctx context.Context, o Object) {
	if o.Kind == DeploymentTarget && r.onTargetCreated != nil {
		r.onTargetCreated(ctx, o)
	}
}

// Outcome is the effect of a [Registry.Put].
type Outcome int

// The effects of a Put.
const (
	Unchanged Outcome = iota // the object is equal: its version stays
	Created
	Replaced
)

// Put replaces the object at o's key, or creates it. Refused as Create, with
// [ReasonImmutableSpec] for a changed spec of a target, and as [Precondition] states
// if it fails.
func (r *Registry) Put(ctx context.Context, o Object, precondition Precondition, by Requester) (Object, Outcome, error) {
	claimed, err := r.claimIfAbsent(ctx, o, by)
	if err != nil {
		return Object{}, Unchanged, err
	}
	stored, outcome, err := r.putGuarded(ctx, o, precondition, by, claimed)
	if err == nil && outcome == Created {
		r.notifyTargetCreated(ctx, stored)
	}
	return stored, outcome, err
}

func (r *Registry) putGuarded(ctx context.Context, o Object, precondition Precondition, by Requester, claimed bool) (Object, Outcome, error) {
	unlock, err := r.guard.share(ctx)
	if err != nil {
		return Object{}, Unchanged, err
	}
	defer unlock()
	addressed := o.Key()
	key, err := r.resolve(ctx, addressed)
	if err != nil {
		return Object{}, Unchanged, err
	}
	if key == addressed && kinds[o.Kind].byID && isUUID(key.Name) { // an unknown id, not the name of a new object
		return Object{}, Unchanged, notFound(key)
	}
	o.Metadata.Name = key.Name
	o, err = r.admit(ctx, o)
	if err != nil {
		return Object{}, Unchanged, err
	}
	isFreeText := key == addressed && o.Key() != addressed
	// Other clients may write between the read and the write: retry without a precondition.
	const attempts = 20
	for range attempts {
		stored, outcome, err := r.put(ctx, o, precondition, isFreeText, by, claimed)
		if errors.Is(err, ErrConflict) || errors.Is(err, ErrNotFound) || errors.Is(err, ErrExists) {
			continue
		}
		return stored, outcome, err
	}
	return Object{}, Unchanged, refuse(ReasonConflict,
		"cannot replace %s: it changed %d times meanwhile: try again", describe(o.Key()), attempts)
}

// put tries once. isFreeText: the name was derived from freeText text that no object has, so an
// object with the derived name is another one. claimed: the requester has been checked.
func (r *Registry) put(ctx context.Context, o Object, precondition Precondition, isFreeText bool, by Requester, claimed bool) (Object, Outcome, error) {
	current, err := r.store.Get(ctx, o.Key(), Consistent)
	if errors.Is(err, ErrNotFound) {
		if err := precondition.checkAbsent(o.Key()); err != nil {
			return Object{}, Unchanged, err
		}
		if err := r.checkReferences(ctx, o); err != nil {
			return Object{}, Unchanged, err
		}
		if !claimed { // deleted since claimIfAbsent
			if err := r.checkClaim(ctx, o, by); err != nil {
				return Object{}, Unchanged, err
			}
		}
		stored, err := r.create(ctx, o)
		return stored, Created, err
	}
	if err != nil {
		return Object{}, Unchanged, err
	}
	if isFreeText {
		return Object{}, Unchanged, exists(current.Key())
	}
	if err := precondition.Check(current); err != nil {
		return Object{}, Unchanged, err
	}
	same := sameSpec(o.Spec, current.Spec)
	if !same && kinds[o.Kind].immutableSpec {
		return Object{}, Unchanged, refuse(ReasonImmutableSpec,
			"the spec of %s is immutable: it is %s, the request has %s: create a target with another name, change the references to this one, then delete it", describe(o.Key()), current.Spec, o.Spec)
	}
	if o.Metadata.DisplayName == "" {
		o.Metadata.DisplayName = current.Metadata.DisplayName
	}
	if same && o.Metadata.DisplayName == current.Metadata.DisplayName &&
		maps.Equal(o.Metadata.Labels, current.Metadata.Labels) && maps.Equal(o.Metadata.Annotations, current.Metadata.Annotations) {
		return current, Unchanged, nil
	}
	if !same {
		if err := r.checkReferences(ctx, o); err != nil {
			return Object{}, Unchanged, err
		}
	}
	o.Metadata.ID, o.Metadata.CreatedAt = current.Metadata.ID, current.Metadata.CreatedAt
	o.Metadata.ModifiedAt = r.timestamp()
	release, err := r.reserve(o, current.Size())
	if err != nil {
		return Object{}, Unchanged, err
	}
	defer release()
	stored, err := r.store.Update(ctx, o, current.Metadata.ResourceVersion)
	if err == nil && !same {
		err = r.confirmReferences(ctx, stored, func() error {
			_, err := r.store.Update(ctx, current, stored.Metadata.ResourceVersion)
			return err
		})
	}
	return stored, Replaced, err
}

// Delete deletes an object and returns its last state. Refused with [ReasonNotFound], as
// [Precondition] states if it fails, and with [ReasonTargetReferenced] or
// [ReasonSessionClusterReferenced] while it is referenced.
func (r *Registry) Delete(ctx context.Context, key Key, precondition Precondition) (Object, error) {
	current, err := r.Get(ctx, key, Consistent)
	if err != nil {
		return Object{}, err
	}
	// Lists of the cluster are slow, and its workloads ignore the guard: not under the guard.
	if err := r.checkUnreferenced(ctx, current, r.References); err != nil {
		return Object{}, err
	}
	unlock, err := r.guard.lock(ctx)
	if err != nil {
		return Object{}, err
	}
	defer unlock()
	for {
		current, err := r.Get(ctx, key, Consistent)
		if err != nil {
			return Object{}, err
		}
		if err := precondition.Check(current); err != nil {
			return Object{}, err
		}
		err = r.deleteUnreferenced(ctx, current)
		switch {
		case errors.Is(err, ErrConflict): // changed since the read
			continue
		case errors.Is(err, ErrNotFound):
			return Object{}, notFound(key)
		}
		return current, err
	}
}

// admit validates an object of a client and normalizes it for the store.
func (r *Registry) admit(ctx context.Context, o Object) (Object, error) {
	if err := r.checkPlace(ctx, o.Key()); err != nil {
		return Object{}, err
	}
	rules := kinds[o.Kind]
	stored, freeText, err := rules.name(o.Kind, o.Metadata.Name)
	if err != nil {
		return Object{}, err
	}
	o.Metadata.Name = stored
	if o.Metadata.DisplayName == "" {
		o.Metadata.DisplayName = freeText
	}
	if o.Spec, err = rules.spec(o.Kind, o.Spec); err != nil {
		return Object{}, err
	}
	if o.Metadata.Labels == nil {
		o.Metadata.Labels = map[string]string{}
	}
	if o.Metadata.Annotations == nil {
		o.Metadata.Annotations = map[string]string{}
	}
	return o, nil
}

func (r *Registry) create(ctx context.Context, o Object) (Object, error) {
	o.Metadata.ID = uuid.NewString()
	o.Metadata.CreatedAt = r.timestamp()
	o.Metadata.ModifiedAt = o.Metadata.CreatedAt
	release, err := r.reserve(o, 0)
	if err != nil {
		return Object{}, err
	}
	defer release()
	stored, err := r.store.Create(ctx, o)
	if err != nil {
		return Object{}, err
	}
	return stored, r.confirmReferences(ctx, stored, func() error {
		return r.store.Delete(ctx, stored.Key(), stored.Metadata.ResourceVersion)
	})
}

// The registry webhook validates writes with kubectl by the rules of REST: the functions below
// write nothing and hold no guard, so another write may follow the validation
// (docs/explanation/decisions/006).

// AllowCreate validates the creation of an object as [Registry.Create] does. Refused with
// [ReasonUnknownReference], or [ReasonIDTaken] if it requests the id of another object. The
// caller validates its name.
func (r *Registry) AllowCreate(ctx context.Context, o Object) error {
	if err := r.checkID(o); err != nil {
		return err
	}
	return r.checkReferences(ctx, o)
}

// AllowUpdate validates the update of an object as [Registry.Put] does. was is its old state.
func (r *Registry) AllowUpdate(ctx context.Context, o, was Object) error {
	if o.Metadata.ID != was.Metadata.ID {
		if err := r.checkID(o); err != nil {
			return err
		}
	}
	if sameSpec(o.Spec, was.Spec) {
		return nil
	}
	return r.checkReferences(ctx, o)
}

// AllowDelete validates the deletion of an object as [Registry.Delete] does.
func (r *Registry) AllowDelete(ctx context.Context, o Object) error {
	return r.checkUnreferenced(ctx, o, r.References)
}

// AllowGrowth refuses a write by which o grows by n bytes beyond the quota of its platform
// namespace, as [Registry.Create] and [Registry.Put] do. It reserves nothing: writes that
// are allowed at the same time may exceed the quota together.
func (r *Registry) AllowGrowth(o Object, n int64) error {
	release, err := r.reserveBytes(o, n)
	if err == nil {
		release()
	}
	return err
}

// checkID refuses an object that requests the id of another: pods are labeled with ids.
func (r *Registry) checkID(o Object) error {
	if other, ok := r.directory.byID(o.Metadata.ID); ok && other != o.Key() {
		return IDTaken(o, "another object of the registry")
	}
	return nil
}

// IDTaken returns the refusal of an object that requests the id of another. The message does
// not locate the other, which the user may not be permitted to see.
func IDTaken(o Object, by string) error {
	return refuse(ReasonIDTaken, "%s states the id %s, which belongs to %s: remove the annotation drey.dev/id to get a new one", describe(o.Key()), quote(o.Metadata.ID), by)
}
