// Package registry is drey's domain: the objects that say where Flink may run,
// their names, and the rules that hold for them whichever store keeps them and
// whichever door they come through.
//
// [Registry] holds the rules, [Store] is what a backend must do, and [Index]
// answers the one question that admission asks: which targets does this
// Kubernetes namespace have?
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
	store              Store
	ownNamespace       string
	excludedNamespaces []string
	workloads          Workloads
	known              *directory
	index              *Index
	onTargetCreated    func(context.Context, Object)
	partialView        bool
	quota              int64
	stored             func(platformNamespace string) int64
	now                func() time.Time

	// guard serializes "create a Deployment" and "delete its target": writers of references
	// hold it shared, deleters hold it exclusively. Nil if the store has SharedWrites.
	guard *guard
}

// Options are what a registry may be told. The zero value is a registry that
// knows of no cluster.
type Options struct {
	// OwnNamespace is the Kubernetes namespace that drey runs in. A target that names no
	// namespace points there.
	OwnNamespace string
	// ExcludedNamespaces are other Kubernetes namespaces that drey does not admit Flink to.
	ExcludedNamespaces []string
	// Namespaces are platform namespaces that are made if they are not there,
	// beside [DefaultNamespace].
	Namespaces []string
	// Workloads says what runs in the cluster; nil: nothing.
	Workloads Workloads
	// Index follows the store along with the registry; nil: nobody else needs it.
	Index *Index
	// OnTargetCreated is called with each created target, before Create or Put returns;
	// nil: not called.
	OnTargetCreated func(context.Context, Object)
	// PartialView: the store may show only some of the platform namespaces.
	PartialView bool
	// Quota limits the [Object.Size] of all objects of a platform namespace together, in
	// bytes; 0: no limit. Writes that make nothing larger always pass.
	Quota int64
	// Stored is the bytes in use of a platform namespace, of a store that holds more than
	// it shows; nil: those of the objects shown.
	Stored func(platformNamespace string) int64
}

// New returns a registry over a store, which it follows until ctx ends.
func New(ctx context.Context, store Store, o Options) (*Registry, error) {
	r := &Registry{store: store, guard: guardOf(store), ownNamespace: o.OwnNamespace, excludedNamespaces: o.ExcludedNamespaces, workloads: o.Workloads, known: newDirectory(), onTargetCreated: o.OnTargetCreated, partialView: o.PartialView, quota: o.Quota, stored: o.Stored, now: time.Now}
	if r.workloads == nil {
		r.workloads = noWorkloads{}
	}
	if r.index = o.Index; r.index == nil {
		r.index = NewIndex(o.OwnNamespace)
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
	all, err := r.store.List(ctx, kind, namespace, Cached)
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
func (r *Registry) Get(ctx context.Context, key Key, c Consistency) (Object, error) {
	if err := r.checkPlace(ctx, key); err != nil {
		return Object{}, err
	}
	resolved, err := r.resolve(ctx, key)
	if err != nil {
		return Object{}, err
	}
	o, err := r.store.Get(ctx, resolved, c)
	if errors.Is(err, ErrNotFound) {
		return Object{}, notFound(key)
	}
	return o, err
}

// shared returns the store's operations for several writers; nil: there is one.
func (r *Registry) shared() SharedWrites { return r.store.Capabilities().SharedWrites }

// Warnings says what is allowed but unwise about a kept object.
func (r *Registry) Warnings(o Object) []string {
	if o.Kind != DeploymentTarget {
		return nil
	}
	switch namespace := targetNamespace(o, r.ownNamespace); {
	case namespace != "" && namespace == r.ownNamespace:
		return []string{fmt.Sprintf(
			"%s points at %q, the Kubernetes namespace that drey itself runs in: keep the platform and its jobs in separate namespaces", name(o.Key()), r.ownNamespace)}
	case slices.Contains(r.excludedNamespaces, namespace):
		return []string{fmt.Sprintf(
			"%s points at %q, a Kubernetes namespace of the system's, which drey leaves alone: make a target that points elsewhere", name(o.Key()), namespace)}
	}
	return nil
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
