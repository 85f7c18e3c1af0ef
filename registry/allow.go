package registry

import "context"

// Where the cluster keeps the registry, kubectl writes its objects too, past the
// Registry. What follows says whether it may, by the rules that hold for REST.
// Nothing is written, and no guard is held: between the answer and the write
// another may write (docs/decisions/006).

// AllowCreate refuses an object that somebody would make, as [Registry.Create]
// does: with [ReasonUnknownReference] or, of who [ClaimedBy] says,
// [ReasonClaimForbidden]. [ReasonIDTaken] if it states the id of another. Its
// name is for the caller to check.
func (r *Registry) AllowCreate(ctx context.Context, o Object) error {
	if err := r.checkID(o); err != nil {
		return err
	}
	if err := r.checkReferences(Current(ctx), o); err != nil {
		return err
	}
	return r.checkClaim(ctx, o)
}

// AllowUpdate refuses what would become of an object, as [Registry.Put] does.
func (r *Registry) AllowUpdate(ctx context.Context, o, was Object) error {
	if o.Metadata.ID != was.Metadata.ID {
		if err := r.checkID(o); err != nil {
			return err
		}
	}
	if sameSpec(o.Spec, was.Spec) {
		return nil
	}
	return r.checkReferences(Current(ctx), o)
}

// AllowDelete refuses to let an object go while something stands on it, as
// [Registry.Delete] does.
func (r *Registry) AllowDelete(ctx context.Context, o Object) error {
	return r.checkUnreferenced(Current(ctx), o, r.References)
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

// checkID refuses an object that states the id of another: what runs is labeled
// with these ids, and found by them.
func (r *Registry) checkID(o Object) error {
	if other, ok := r.known.byID(o.Metadata.ID); ok && other != o.Key() {
		return IDTaken(o, "another object of the registry")
	}
	return nil
}

// IDTaken refuses an object that states the id of something else. It does not say
// where that is: not everybody may know.
func IDTaken(o Object, by string) error {
	return refuse(ReasonIDTaken, "%s states the id %s, which is that of %s: leave out the annotation drey.dev/id, and it gets one of its own", name(o.Key()), quote(o.Metadata.ID), by)
}
