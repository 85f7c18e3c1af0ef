package kubestore

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/google/uuid"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/kubestore/internal/codec"
	v1 "drey.dev/drey/registry/kubestore/v1"
)

// record is the cached part of a custom resource: 144 bytes, and the texts of its view.
type record struct {
	*codec.Resource
	uid, id     uuid.UUID // id: the requested one, which another object may own
	version     uint64    // the numeric metadata.resourceVersion
	created     int64     // creationTimestamp, Unix time
	platform    string    // platform namespace
	packed      codec.Packed
	reference   *reference // to a target; nil: none
	status      uint64     // [statusFacts.sum]
	observed    uint32     // [observedFacts.sum]
	size        int32      // in bytes
	terminating bool

	// The cache changes the fields below. An object that is shown has the requested id if hasID, else its uid.
	shown, hasID bool
	target       *targetNamespace // that a target points at; else nil
	next, prev   *record          // in the list of it
}

// live is an object from a consistent read.
type live struct {
	*record
	object codec.Object
}

func newLive(r *codec.Resource, o codec.Object) *live { return &live{newRecord(r, o), o} }

func newRecord(r *codec.Resource, o codec.Object) *record {
	view := r.Decode(o)
	rec := &record{
		Resource: r, uid: parseUID(string(o.GetUID())), id: parseUID(view.Metadata.ID), version: parseVersion(o.GetResourceVersion()),
		created: o.GetCreationTimestamp().Unix(), platform: view.Metadata.Namespace, packed: codec.Pack(view, o.GetName()), terminating: o.GetDeletionTimestamp() != nil,
		size: int32(codec.Size(o, view)), //nolint:gosec // etcd stores less
	}
	facts, observed := presentFacts(r, o)
	rec.status, rec.observed = facts.sum(), observed.sum()
	if t, ok := o.(*v1.DeploymentTarget); ok {
		rec.target = &targetNamespace{name: t.Spec.Kubernetes.Namespace}
	}
	switch name, id := r.Target(o); {
	case name != "":
		rec.reference = &reference{namespace: rec.platform, name: name}
	case id != "":
		rec.reference = &reference{namespace: rec.platform, id: id}
	}
	return rec
}

// parseUID parses a uid. Those of the API server are UUIDs.
func parseUID(text string) uuid.UUID {
	id, err := uuid.Parse(text)
	if err != nil {
		return uuid.NewSHA1(uuid.NameSpaceOID, []byte(text))
	}
	return id
}

// parseVersion parses a resourceVersion. Those of one kind are comparable numbers
// (Kubernetes API concepts, "Resource versions").
func parseVersion(text string) uint64 {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func (rec *record) name() string       { return rec.packed.Name() }
func (rec *record) objectName() string { return rec.packed.ObjectName() }
func (rec *record) place() place       { return place{rec.Kind, rec.platform} }

// restVersion returns the version in REST.
func (rec *record) restVersion() int32 { return rec.packed.Unpack().Metadata.ResourceVersion }

// view returns the object with an id.
func (rec *record) view(id uuid.UUID) registry.Object {
	o := rec.packed.Unpack()
	o.Kind, o.Metadata.Namespace, o.Metadata.ID = rec.Kind, rec.platform, id.String()
	return o
}

// older orders records by age. All replicas agree on it.
func older(a, b *record) int {
	return cmp.Or(cmp.Compare(a.created, b.created), slices.Compare(a.uid[:], b.uid[:]))
}

// byPriority orders records that request an id: the object whose uid it is, then the older one. An
// owner keeps its id.
func byPriority(id uuid.UUID) func(a, b *record) int {
	rank := func(rec *record) int {
		if rec.uid == id {
			return 0
		}
		return 1
	}
	return func(a, b *record) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), older(a, b)) }
}

// claims are the records that request keys, of which each has one owner.
type claims[K comparable] struct {
	owners map[K]*record
	shared map[K][]*record // of the few keys that several request: all, the owner first
}

func newClaims[K comparable]() *claims[K] { return &claims[K]{owners: map[K]*record{}} }

func (c *claims[K]) add(key K, rec *record, order func(a, b *record) int) {
	owner := c.owners[key]
	if owner == nil {
		c.owners[key] = rec
		return
	}
	all := c.shared[key]
	if all == nil {
		all = []*record{owner}
	}
	all = append(slices.Clone(all), rec)
	slices.SortFunc(all, order)
	if c.shared == nil {
		c.shared = map[K][]*record{}
	}
	c.owners[key], c.shared[key] = all[0], all
}

func (c *claims[K]) remove(key K, rec *record) {
	all := slices.DeleteFunc(slices.Clone(c.shared[key]), func(other *record) bool { return other == rec })
	switch {
	case len(all) == 0:
		if c.owners[key] == rec {
			delete(c.owners, key)
		}
		return
	case len(all) == 1:
		delete(c.shared, key)
	default:
		c.shared[key] = all
	}
	c.owners[key] = all[0]
}

// of calls f with all records that request a key, the owner first, until f returns false.
func (c *claims[K]) of(key K) func(f func(*record) bool) {
	return func(f func(*record) bool) {
		if all := c.shared[key]; all != nil {
			slices.Values(all)(f)
		} else if owner := c.owners[key]; owner != nil {
			f(owner)
		}
	}
}
