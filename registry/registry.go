package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"k8s.io/apimachinery/pkg/labels"
)

// Registry is the one place where the rules stand. Every door (REST, kubectl,
// the command line) goes through it to a [Store].
type Registry struct {
	store     Store
	home      string
	unserved  []string
	workloads Workloads
	known     *directory
	index     *Index
	announce  func(context.Context, Object)
	partial   bool
	quota     int64
	stored    func(platformNamespace string) int64
	now       func() time.Time

	// guard keeps references whole within this process, and [SharedStore]
	// among several: writers of references share it, deleters hold it alone. So of
	// "create a Deployment" and "delete its target" one comes first. With a
	// [SharedStore], whose calls may take long, deleters share it too; only the deletion
	// of a platform namespace holds it alone.
	guard *guard
}

// Options are what a registry may be told. The zero value is a registry that
// knows of no cluster.
type Options struct {
	// Home is the Kubernetes namespace that drey runs in.
	Home string
	// Unserved are Kubernetes namespaces, beside Home, that drey leaves alone.
	Unserved []string
	// Namespaces are platform namespaces that are made if they are not there,
	// beside [DefaultNamespace].
	Namespaces []string
	// Workloads says what runs in the cluster; nil: nothing.
	Workloads Workloads
	// Index follows the store along with the registry; nil: nobody else needs it.
	Index *Index
	// Announce is called with each target that was made, before whoever made it
	// hears of that; nil: nobody is.
	Announce func(context.Context, Object)
	// Partial says that the store may not show all platform namespaces there are.
	Partial bool
	// Quota limits the [Object.Size] of all objects of a platform namespace together, in
	// bytes; 0: no limit. Writes that make nothing larger always pass.
	Quota int64
	// Stored is the bytes in use of a platform namespace, of a store that holds more than
	// it shows; nil: those of the objects shown.
	Stored func(platformNamespace string) int64
}

// New returns a registry over a store, which it follows until ctx ends.
func New(ctx context.Context, store Store, o Options) (*Registry, error) {
	r := &Registry{store: store, guard: newGuard(), home: o.Home, unserved: o.Unserved, workloads: o.Workloads, known: newDirectory(), announce: o.Announce, partial: o.Partial, quota: o.Quota, stored: o.Stored, now: time.Now}
	if r.workloads == nil {
		r.workloads = noWorkloads{}
	}
	if r.index = o.Index; r.index == nil {
		r.index = NewIndex(o.Home)
	}
	observe := func(e Event) { r.known.observe(e); r.index.observe(e) }
	for _, kind := range append([]Kind{Namespace, APIToken}, indexed...) {
		if err := store.Watch(ctx, kind, observe); err != nil {
			return nil, fmt.Errorf("read the registry: %w", err)
		}
	}
	r.index.synced.Store(true)
	for _, name := range append([]string{DefaultNamespace}, o.Namespaces...) {
		if _, err := r.CreateNamespace(ctx, name); err != nil && ReasonOf(err) != ReasonAlreadyExists {
			return nil, err
		}
	}
	return r, nil
}

// List returns the objects of a kind in a platform namespace whose labels
// match, ordered by name.
func (r *Registry) List(ctx context.Context, kind Kind, namespace string, selector labels.Selector) ([]Object, error) {
	if err := r.checkPlace(ctx, Key{Kind: kind, Namespace: namespace}); err != nil {
		return nil, err
	}
	all, err := r.store.List(ctx, kind, namespace)
	if err != nil || selector == nil || selector.Empty() {
		return all, err
	}
	matching := all[:0]
	for _, o := range all {
		if selector.Matches(labels.Set(o.Metadata.Labels)) {
			matching = append(matching, o)
		}
	}
	return matching, nil
}

// Get returns one object, by its name or, where its kind allows that, its id.
// Refused with [ReasonNotFound] if it is not there.
func (r *Registry) Get(ctx context.Context, key Key) (Object, error) {
	if err := r.checkPlace(ctx, key); err != nil {
		return Object{}, err
	}
	resolved, err := r.resolve(ctx, key)
	if err != nil {
		return Object{}, err
	}
	o, err := r.store.Get(ctx, resolved)
	if errors.Is(err, ErrNotFound) {
		return Object{}, notFound(key)
	}
	return o, err
}

// Create makes a new object and returns it as kept. What the server owns in
// its metadata is overwritten. Refused with [ReasonAlreadyExists],
// [ReasonInvalidName], [ReasonInvalidSpec], [ReasonUnknownReference],
// [ReasonNotFound] (the platform namespace), [ReasonQuotaExceeded] or, of who
// [ClaimedBy] says, [ReasonClaimForbidden].
func (r *Registry) Create(ctx context.Context, o Object) (Object, error) {
	ctx = Current(ctx)
	o, err := r.admit(ctx, o)
	if err != nil {
		return Object{}, err
	}
	if err := r.checkClaim(ctx, o); err != nil { // the cluster is asked: before the guard, as in Delete
		return Object{}, err
	}
	kept, err := r.createGuarded(ctx, o)
	if err != nil {
		return Object{}, err
	}
	r.announceTarget(ctx, kept)
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

// announceTarget tells who wants to know of a new target, and waits: not under the
// guard, by which that would hold up all other writers.
func (r *Registry) announceTarget(ctx context.Context, o Object) {
	if o.Kind == DeploymentTarget && r.announce != nil {
		r.announce(ctx, o)
	}
}

// Delete removes an object and returns its last state. Refused with
// [ReasonNotFound], with [ReasonConflict] when the precondition is unmet, and
// with [ReasonTargetReferenced] or [ReasonSessionClusterReferenced] while
// something stands on it.
func (r *Registry) Delete(ctx context.Context, key Key, if_ Precondition) (Object, error) {
	ctx = Current(ctx)
	current, err := r.Get(ctx, key)
	if err != nil {
		return Object{}, err
	}
	// What runs in the cluster takes a while to ask for, and heeds no lock of
	// ours: it comes before the guard, which holds up every other writer.
	if err := r.checkUnreferenced(ctx, current, r.References); err != nil {
		return Object{}, err
	}
	hold := r.guard.lock
	if _, shared := r.store.(SharedStore); shared {
		hold = r.guard.share // DeleteIf and Confirm keep references whole
	}
	unlock, err := hold(ctx)
	if err != nil {
		return Object{}, err
	}
	defer unlock()
	for {
		current, err := r.Get(ctx, key)
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

// Warnings says what is allowed but unwise about a kept object.
func (r *Registry) Warnings(o Object) []string {
	if o.Kind != DeploymentTarget {
		return nil
	}
	switch namespace := targetNamespace(o, r.home); {
	case namespace != "" && namespace == r.home:
		return []string{fmt.Sprintf(
			"%s points at %q, the Kubernetes namespace that drey itself runs in: keep the platform and its jobs in separate namespaces", name(o.Key()), r.home)}
	case slices.Contains(r.unserved, namespace):
		return []string{fmt.Sprintf(
			"%s points at %q, a Kubernetes namespace of the system's, which drey leaves alone: make a target that points elsewhere", name(o.Key()), namespace)}
	}
	return nil
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

// timestamp is now as the REST API writes it: UTC, to the millisecond.
func (r *Registry) timestamp() time.Time { return r.now().UTC().Truncate(time.Millisecond) }

func notFound(key Key) error {
	return refuse(ReasonNotFound, "%s does not exist", name(key))
}

func exists(key Key) error {
	return refuse(ReasonAlreadyExists, "%s exists already: choose another name, or PUT to replace it", name(key))
}

// name is how messages call an object.
func name(key Key) string {
	if key.Kind == Namespace {
		return "platform namespace " + quote(key.Name)
	}
	return fmt.Sprintf("%s %s in platform namespace %s", key.Kind, quote(key.Name), quote(key.Namespace))
}

func isUUID(s string) bool {
	_, err := uuid.Parse(s)
	return err == nil && len(s) == 36 && s == strings.ToLower(s)
}
