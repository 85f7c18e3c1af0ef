// Package registry is the domain of drey: the objects that define where Flink may run, and the
// rules that apply to them with every store and every client.
//
// [Registry] applies the rules, [Store] is the interface of a backend, and [Index] serves the
// targets of a Kubernetes namespace to admission.
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

// Registry applies the rules to the objects of a [Store]. REST, the registry webhook and the
// command line use it.
type Registry struct {
	store              Store
	ownNamespace       string
	excludedNamespaces []string
	anyNamespace       bool
	workloads          Workloads
	observer           Observer // nil without a cluster
	directory          *directory
	history            *history
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

// Options configure a registry. The zero value is a registry without a cluster.
type Options struct {
	// OwnNamespace is the Kubernetes namespace that drey runs in. A target that names no
	// namespace points there.
	OwnNamespace string
	// ExcludedNamespaces are other Kubernetes namespaces that drey does not admit Flink to.
	ExcludedNamespaces []string
	// AnyNamespace: every platform namespace counts as existing, since the store checks it on
	// writes, as the API server does.
	AnyNamespace bool
	// Namespaces are platform namespaces to create if they do not exist, in addition to
	// [DefaultNamespace].
	Namespaces []string
	// Workloads lists the Flink workloads of the cluster; nil: there is no cluster.
	Workloads Workloads
	// Observer observes what the cluster runs, for the status of objects; nil: there is no
	// cluster, and the status follows the spec.
	Observer Observer
	// Index is an index to fill from the store; nil: the registry creates one.
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

// New returns a registry that watches a store until ctx ends.
func New(ctx context.Context, store Store, o Options) (*Registry, error) {
	r := &Registry{
		store: store, guard: guardOf(store), ownNamespace: o.OwnNamespace, excludedNamespaces: o.ExcludedNamespaces, anyNamespace: o.AnyNamespace,
		workloads: o.Workloads, observer: o.Observer, directory: newDirectory(), onTargetCreated: o.OnTargetCreated, partialView: o.PartialView,
		quota: o.Quota, stored: o.Stored, now: time.Now,
	}
	if r.workloads == nil {
		r.workloads = noWorkloads{}
	}
	if r.index = o.Index; r.index == nil {
		r.index = NewIndex(o.OwnNamespace)
	}
	r.history = newHistory(o.Observer, func() time.Time { return r.now() })
	observe := func(e Event) { r.directory.observe(e); r.index.observe(e); r.history.observe(e) }
	for _, kind := range append([]Kind{Namespace, APIToken, DeploymentDefaults}, indexed...) {
		if err := store.Watch(ctx, kind, observe); err != nil {
			return nil, fmt.Errorf("read the registry: %w", err)
		}
	}
	r.index.synced.Store(true)
	r.history.begin()
	for _, name := range append([]string{DefaultNamespace}, o.Namespaces...) {
		if _, err := r.CreateNamespace(ctx, name); err != nil && ReasonOf(err) != ReasonAlreadyExists {
			return nil, err
		}
	}
	return r, nil
}

// List returns the objects of a kind in a platform namespace that match a label selector,
// ordered by name. Refused with [ReasonNotFound] if the platform namespace does not exist.
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

// Targets returns the targets of all platform namespaces, ordered by platform namespace and name.
func (r *Registry) Targets(ctx context.Context) ([]Object, error) {
	return r.store.List(ctx, DeploymentTarget, "", Cached)
}

// TargetNamespace returns the Kubernetes namespace that a stored target points at.
func (r *Registry) TargetNamespace(target Object) string {
	return targetNamespace(target, r.ownNamespace)
}

// Get returns an object by its name, or its id if the kind allows that. Refused with
// [ReasonNotFound].
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

// Warnings returns what is valid but inadvisable about an object, as sentences.
func (r *Registry) Warnings(o Object) []string {
	if o.Kind != DeploymentTarget {
		return nil
	}
	switch namespace := targetNamespace(o, r.ownNamespace); {
	case namespace != "" && namespace == r.ownNamespace:
		return []string{fmt.Sprintf(
			"%s points at %q, the Kubernetes namespace that drey runs in: use separate namespaces for drey and for jobs", describe(o.Key()), r.ownNamespace)}
	case slices.Contains(r.excludedNamespaces, namespace):
		return []string{fmt.Sprintf(
			"%s points at %q, a system namespace, which drey does not admit Flink to: create a target that points elsewhere", describe(o.Key()), namespace)}
	}
	return nil
}

// timestamp returns the present time in UTC, in milliseconds.
func (r *Registry) timestamp() time.Time { return r.now().UTC().Truncate(time.Millisecond) }

func notFound(key Key) error {
	return refuse(ReasonNotFound, "%s does not exist", describe(key))
}

func exists(key Key) error {
	remedy := "PUT to replace it"
	if key.Kind == APIToken {
		remedy = "delete it first"
	}
	return refuse(ReasonAlreadyExists, "%s already exists: choose another name, or %s", describe(key), remedy)
}

// describe returns how messages refer to an object.
func describe(key Key) string {
	if key.Kind == Namespace {
		return "platform namespace " + quote(key.Name)
	}
	return fmt.Sprintf("%s %s in platform namespace %s", key.Kind, quote(key.Name), quote(key.Namespace))
}

func isUUID(s string) bool {
	_, err := uuid.Parse(s)
	return err == nil && len(s) == 36 && s == strings.ToLower(s)
}
