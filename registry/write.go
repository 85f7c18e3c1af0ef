package registry

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/google/uuid"
)

// Create makes a new object and returns it as kept. What the server owns in
// its metadata is overwritten. Refused with [ReasonAlreadyExists],
// [ReasonInvalidName], [ReasonInvalidSpec], [ReasonUnknownReference],
// [ReasonNotFound] (the platform namespace), [ReasonQuotaExceeded] or, of who
// [ClaimedBy] says, [ReasonClaimForbidden].
func (r *Registry) Create(ctx context.Context, o Object, by Requester) (Object, error) {
	o, err := r.admit(ctx, o)
	if err != nil {
		return Object{}, err
	}
	if err := r.checkClaim(ctx, o, by); err != nil { // the cluster is asked: before the guard, as in Delete
		return Object{}, err
	}
	kept, err := r.createGuarded(ctx, o)
	if err != nil {
		return Object{}, err
	}
	r.notifyTargetCreated(ctx, kept)
	return kept, nil
}

func (r *Registry) createGuarded(ctx context.Context, o Object) (Object, error) {
	unlock, err := r.guard.share(ctx)
	if err != nil {
		return Object{}, err
	}
	defer unlock()
	if err := r.checkPlace(ctx, o.Key()); err != nil { // it may have gone meanwhile
		return Object{}, err
	}
	if err := r.checkReferences(ctx, o); err != nil {
		return Object{}, err
	}
	kept, err := r.create(ctx, o)
	if errors.Is(err, ErrExists) {
		return Object{}, exists(o.Key())
	}
	return kept, err
}

// notifyTargetCreated tells who wants to know of a new target, and waits: not under the
// guard, by which that would hold up all other writers.
func (r *Registry) notifyTargetCreated(ctx context.Context, o Object) {
	if o.Kind == DeploymentTarget && r.onTargetCreated != nil {
		r.onTargetCreated(ctx, o)
	}
}

// Precondition is what a caller believes of the object that it changes. The
// zero value believes nothing.
type Precondition struct {
	ID      string
	Version int32 // 0: any
	Exists  bool  // an object must be there, whichever
	Absent  bool  // none may be there
}

func (p Precondition) met(m Metadata) bool {
	return (p.ID == "" || p.ID == m.ID) && (p.Version == 0 || p.Version == m.ResourceVersion)
}

// Outcome says what a [Registry.Put] did.
type Outcome int

// The outcomes of a Put.
const (
	Unchanged Outcome = iota // the object was like that already, its version included
	Created
	Replaced
)

// Put replaces the object at o's key, or makes it when there is none. Beside
// what Create refuses: a target's spec that differs with
// [ReasonImmutableSpec], an unmet precondition with [ReasonConflict].
func (r *Registry) Put(ctx context.Context, o Object, if_ Precondition, by Requester) (Object, Outcome, error) {
	claimed, err := r.claimIfAbsent(ctx, o, by)
	if err != nil {
		return Object{}, Unchanged, err
	}
	kept, outcome, err := r.putGuarded(ctx, o, if_, by, claimed)
	if err == nil && outcome == Created {
		r.notifyTargetCreated(ctx, kept)
	}
	return kept, outcome, err
}

func (r *Registry) putGuarded(ctx context.Context, o Object, if_ Precondition, by Requester, claimed bool) (Object, Outcome, error) {
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
	if key == addressed && kinds[o.Kind].byID && isUUID(key.Name) { // the server gives ids: an unknown one makes nothing
		return Object{}, Unchanged, notFound(key)
	}
	o.Metadata.Name = key.Name
	o, err = r.admit(ctx, o)
	if err != nil {
		return Object{}, Unchanged, err
	}
	isFreeText := key == addressed && o.Key() != addressed
	// Somebody else may write between the read and the write. Without a
	// precondition the caller means "whatever is there", so look again.
	const attempts = 20
	for range attempts {
		kept, outcome, err := r.put(ctx, o, if_, isFreeText, by, claimed)
		if errors.Is(err, ErrConflict) || errors.Is(err, ErrNotFound) || errors.Is(err, ErrExists) {
			continue
		}
		return kept, outcome, err
	}
	return Object{}, Unchanged, refuse(ReasonConflict,
		"%s changed %d times while this PUT tried to replace it: try again, or have one writer at a time", name(o.Key()), attempts)
}

// put tries once. The name of an object that isFreeText was made from a text
// that nobody has: what has the same name already is another. claimed says that
// whoever makes it has been asked about.
func (r *Registry) put(ctx context.Context, o Object, if_ Precondition, isFreeText bool, by Requester, claimed bool) (Object, Outcome, error) {
	current, err := r.store.Get(ctx, o.Key(), Consistent)
	if errors.Is(err, ErrNotFound) {
		if if_ != (Precondition{}) && !if_.Absent {
			return Object{}, Unchanged, refuse(ReasonConflict,
				"%s does not exist, but the request states a version of it: leave out metadata.resourceVersion (and If-Match) to create it", name(o.Key()))
		}
		if err := r.checkReferences(ctx, o); err != nil {
			return Object{}, Unchanged, err
		}
		if !claimed { // it was there a moment ago
			if err := r.checkClaim(ctx, o, by); err != nil {
				return Object{}, Unchanged, err
			}
		}
		kept, err := r.create(ctx, o)
		return kept, Created, err
	}
	if err != nil {
		return Object{}, Unchanged, err
	}
	if isFreeText || if_.Absent {
		return Object{}, Unchanged, exists(current.Key())
	}
	if !if_.met(current.Metadata) {
		return Object{}, Unchanged, stale(current, if_)
	}
	same := sameSpec(o.Spec, current.Spec)
	if !same && kinds[o.Kind].immutableSpec {
		return Object{}, Unchanged, refuse(ReasonImmutableSpec,
			"the spec of %s cannot be changed: it is %s, the request says %s. Create a target of another name, move what refers to this one, then delete it", name(o.Key()), current.Spec, o.Spec)
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
	kept, err := r.store.Update(ctx, o, current.Metadata.ResourceVersion)
	if err == nil && !same {
		err = r.confirmReferences(ctx, kept, func() error {
			_, err := r.store.Update(ctx, current, kept.Metadata.ResourceVersion)
			return err
		})
	}
	return kept, Replaced, err
}

func stale(current Object, p Precondition) error {
	stated := fmt.Sprintf("resourceVersion %d", p.Version)
	if p.ID != "" {
		stated += " of the object with id " + quote(p.ID)
	}
	return refuse(ReasonConflict, "%s is at resourceVersion %d (id %s), the request states %s: GET it, apply your change to that, and send it again",
		name(current.Key()), current.Metadata.ResourceVersion, current.Metadata.ID, stated)
}

// Delete removes an object and returns its last state. Refused with
// [ReasonNotFound], with [ReasonConflict] when the precondition is unmet, and
// with [ReasonTargetReferenced] or [ReasonSessionClusterReferenced] while
// something stands on it.
func (r *Registry) Delete(ctx context.Context, key Key, if_ Precondition) (Object, error) {
	current, err := r.Get(ctx, key, Consistent)
	if err != nil {
		return Object{}, err
	}
	// What runs in the cluster takes a while to ask for, and heeds no lock of
	// ours: it comes before the guard, which holds up every other writer.
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
		if !if_.met(current.Metadata) {
			return Object{}, stale(current, if_)
		}
		err = r.remove(ctx, current)
		switch {
		case errors.Is(err, ErrConflict): // changed since the read: look again
			continue
		case errors.Is(err, ErrNotFound):
			return Object{}, notFound(key)
		}
		return current, err
	}
}

// admit checks an object that a client sent and brings it into the form in
// which it is kept.
func (r *Registry) admit(ctx context.Context, o Object) (Object, error) {
	if err := r.checkPlace(ctx, o.Key()); err != nil {
		return Object{}, err
	}
	rules := kinds[o.Kind]
	kept, free, err := rules.name(o.Kind, o.Metadata.Name)
	if err != nil {
		return Object{}, err
	}
	o.Metadata.Name = kept
	if o.Metadata.DisplayName == "" {
		o.Metadata.DisplayName = free
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
	kept, err := r.store.Create(ctx, o)
	if err != nil {
		return Object{}, err
	}
	return kept, r.confirmReferences(ctx, kept, func() error {
		return r.store.Delete(ctx, kept.Key(), kept.Metadata.ResourceVersion)
	})
}

// Where the cluster keeps the registry, kubectl writes its objects too, past the
// Registry. What follows says whether it may, by the rules that hold for REST.
// Nothing is written, and no guard is held: between the answer and the write
// another may write (docs/decisions/006).

// AllowCreate refuses an object that somebody would make, as [Registry.Create]
// does: with [ReasonUnknownReference], or [ReasonIDTaken] if it states the id of another. Its
// name is for the caller to check.
func (r *Registry) AllowCreate(ctx context.Context, o Object) error {
	if err := r.checkID(o); err != nil {
		return err
	}
	return r.checkReferences(ctx, o)
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
	return r.checkReferences(ctx, o)
}

// AllowDelete refuses to let an object go while something stands on it, as
// [Registry.Delete] does.
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
