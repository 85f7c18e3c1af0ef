package registry

import (
	"context"
	"errors"
	"fmt"
	"maps"
)

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
func (r *Registry) Put(ctx context.Context, o Object, if_ Precondition) (Object, Outcome, error) {
	ctx = Current(ctx)
	claimed, err := r.claimIfAbsent(ctx, o)
	if err != nil {
		return Object{}, Unchanged, err
	}
	kept, outcome, err := r.putGuarded(ctx, o, if_, claimed)
	if err == nil && outcome == Created {
		r.announceTarget(ctx, kept)
	}
	return kept, outcome, err
}

func (r *Registry) putGuarded(ctx context.Context, o Object, if_ Precondition, claimed bool) (Object, Outcome, error) {
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
		kept, outcome, err := r.put(ctx, o, if_, isFreeText, claimed)
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
func (r *Registry) put(ctx context.Context, o Object, if_ Precondition, isFreeText, claimed bool) (Object, Outcome, error) {
	current, err := r.store.Get(ctx, o.Key())
	if errors.Is(err, ErrNotFound) {
		if if_ != (Precondition{}) && !if_.Absent {
			return Object{}, Unchanged, refuse(ReasonConflict,
				"%s does not exist, but the request states a version of it: leave out metadata.resourceVersion (and If-Match) to create it", name(o.Key()))
		}
		if err := r.checkReferences(ctx, o); err != nil {
			return Object{}, Unchanged, err
		}
		if !claimed { // it was there a moment ago
			if err := r.checkClaim(ctx, o); err != nil {
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
