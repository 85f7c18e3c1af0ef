package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Registry is the one place where the rules stand. Every door (REST, kubectl,
// the command line) goes through it to a [Store].
type Registry struct {
	store      Store
	home       string
	namespaces []string
	now        func() time.Time
}

// New returns a registry over a store. home is the Kubernetes namespace that
// drey runs in. platformNamespaces are those that exist beside
// [DefaultNamespace]; a name that is no RFC 1123 label is an error.
func New(store Store, home string, platformNamespaces ...string) (*Registry, error) {
	for _, name := range platformNamespaces {
		if !checkNamespaceName(name) {
			return nil, refuse(ReasonInvalidName,
				"%s is not a name for a platform namespace: use 1 to 63 characters of a-z, 0-9 and hyphen, with no hyphen at either end", quote(name))
		}
	}
	names := append([]string{DefaultNamespace}, platformNamespaces...)
	slices.Sort(names)
	return &Registry{store: store, home: home, namespaces: slices.Compact(names), now: time.Now}, nil
}

// Precondition is what a caller believes of the object that it changes. The
// zero value believes nothing.
type Precondition struct {
	ID      string
	Version int32 // 0: any
	Exists  bool  // an object must be there, whichever
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

// List returns the objects of a kind in a platform namespace, ordered by name.
func (r *Registry) List(ctx context.Context, kind Kind, namespace string) ([]Object, error) {
	if err := r.checkNamespace(namespace); err != nil {
		return nil, err
	}
	return r.store.List(ctx, kind, namespace)
}

// Get returns one object. Refused with [ReasonNotFound] if it is not there.
func (r *Registry) Get(ctx context.Context, key Key) (Object, error) {
	if err := r.checkNamespace(key.Namespace); err != nil {
		return Object{}, err
	}
	o, err := r.store.Get(ctx, key)
	if errors.Is(err, ErrNotFound) {
		return Object{}, notFound(key)
	}
	return o, err
}

// Create makes a new object and returns it as kept. What the server owns in
// its metadata is overwritten. Refused with [ReasonAlreadyExists],
// [ReasonInvalidName], [ReasonInvalidSpec] or [ReasonNotFound] (the platform
// namespace).
func (r *Registry) Create(ctx context.Context, o Object) (Object, error) {
	o, err := r.admit(o)
	if err != nil {
		return Object{}, err
	}
	return r.create(ctx, o)
}

// Put replaces the object at o's key, or makes it when there is none. Beside
// what Create refuses: a spec that differs with [ReasonImmutableSpec], an
// unmet precondition with [ReasonConflict].
func (r *Registry) Put(ctx context.Context, o Object, if_ Precondition) (Object, Outcome, error) {
	o, err := r.admit(o)
	if err != nil {
		return Object{}, Unchanged, err
	}
	// Somebody else may write between the read and the write. Without a
	// precondition the caller means "whatever is there", so look again.
	const attempts = 20
	for range attempts {
		kept, outcome, err := r.put(ctx, o, if_)
		switch {
		case err == nil:
			return kept, outcome, nil
		case errors.Is(err, ErrConflict), errors.Is(err, ErrNotFound), ReasonOf(err) == ReasonAlreadyExists:
			continue
		default:
			return Object{}, Unchanged, err
		}
	}
	return Object{}, Unchanged, refuse(ReasonConflict,
		"%s changed %d times while this PUT tried to replace it: try again, or have one writer at a time", name(o.Key()), attempts)
}

func (r *Registry) put(ctx context.Context, o Object, if_ Precondition) (Object, Outcome, error) {
	current, err := r.store.Get(ctx, o.Key())
	if errors.Is(err, ErrNotFound) {
		if if_ != (Precondition{}) {
			return Object{}, Unchanged, refuse(ReasonConflict,
				"%s does not exist, but the request states a version of it: leave out metadata.resourceVersion (and If-Match) to create it", name(o.Key()))
		}
		kept, err := r.create(ctx, o)
		return kept, Created, err
	}
	if err != nil {
		return Object{}, Unchanged, err
	}
	if !if_.met(current.Metadata) {
		return Object{}, Unchanged, stale(current, if_)
	}
	if !bytes.Equal(o.Spec, current.Spec) {
		return Object{}, Unchanged, refuse(ReasonImmutableSpec,
			"the spec of %s cannot be changed: it is %s, the request says %s. Create a target of another name, move what refers to this one, then delete it", name(o.Key()), current.Spec, o.Spec)
	}
	if maps.Equal(o.Metadata.Labels, current.Metadata.Labels) && maps.Equal(o.Metadata.Annotations, current.Metadata.Annotations) {
		return current, Unchanged, nil
	}
	o.Metadata.ID, o.Metadata.CreatedAt = current.Metadata.ID, current.Metadata.CreatedAt
	o.Metadata.ModifiedAt = r.timestamp()
	kept, err := r.store.Update(ctx, o, current.Metadata.ResourceVersion)
	return kept, Replaced, err
}

// Delete removes an object and returns its last state. Refused with
// [ReasonNotFound], or [ReasonConflict] when the precondition is unmet.
func (r *Registry) Delete(ctx context.Context, key Key, if_ Precondition) (Object, error) {
	for {
		current, err := r.Get(ctx, key)
		if err != nil {
			return Object{}, err
		}
		if !if_.met(current.Metadata) {
			return Object{}, stale(current, if_)
		}
		err = r.store.Delete(ctx, key, current.Metadata.ResourceVersion)
		switch {
		case errors.Is(err, ErrConflict): // changed since the read: look again
			continue
		case errors.Is(err, ErrNotFound):
			return Object{}, notFound(key)
		}
		return current, err
	}
}

// Warnings says what is allowed but unwise about a kept object.
func (r *Registry) Warnings(o Object) []string {
	if o.Kind == DeploymentTarget && r.home != "" && targetNamespace(o, r.home) == r.home {
		return []string{fmt.Sprintf(
			"%s points at %q, the Kubernetes namespace that drey itself runs in: keep the platform and its jobs in separate namespaces", name(o.Key()), r.home)}
	}
	return nil
}

// admit checks an object that a client sent and brings it into the form in
// which it is kept.
func (r *Registry) admit(o Object) (Object, error) {
	if err := r.checkNamespace(o.Metadata.Namespace); err != nil {
		return Object{}, err
	}
	if err := checkTargetName(o.Metadata.Name); err != nil {
		return Object{}, err
	}
	spec, err := parseTargetSpec(o.Spec)
	if err != nil {
		return Object{}, err
	}
	if o.Spec, err = json.Marshal(spec); err != nil {
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
	kept, err := r.store.Create(ctx, o)
	if errors.Is(err, ErrExists) {
		return Object{}, refuse(ReasonAlreadyExists,
			"%s exists already: choose another name, or PUT to replace its labels and annotations", name(o.Key()))
	}
	return kept, err
}

func (r *Registry) checkNamespace(namespace string) error {
	if slices.Contains(r.namespaces, namespace) {
		return nil
	}
	return refuse(ReasonNotFound, "platform namespace %s does not exist: there is %s. Start drey with --platform-namespace to add one",
		quote(namespace), strings.Join(r.namespaces, ", "))
}

// timestamp is now as the REST API writes it: UTC, to the millisecond.
func (r *Registry) timestamp() time.Time { return r.now().UTC().Truncate(time.Millisecond) }

func notFound(key Key) error {
	return refuse(ReasonNotFound, "%s does not exist", name(key))
}

func stale(current Object, p Precondition) error {
	stated := fmt.Sprintf("resourceVersion %d", p.Version)
	if p.ID != "" {
		stated += " of the object with id " + quote(p.ID)
	}
	return refuse(ReasonConflict, "%s is at resourceVersion %d (id %s), the request states %s: GET it, apply your change to that, and send it again",
		name(current.Key()), current.Metadata.ResourceVersion, current.Metadata.ID, stated)
}

// name is how messages call an object.
func name(key Key) string {
	return fmt.Sprintf("%s %s in platform namespace %s", key.Kind, quote(key.Name), quote(key.Namespace))
}
