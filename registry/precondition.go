package registry

import (
	"fmt"
	"slices"
)

// Precondition is what a write requires of the present object. The zero value requires nothing.
// A write is refused with [ReasonConflict], and with [ReasonAlreadyExists] for Absent.
type Precondition struct {
	ID      string
	Version int32 // 0: any

	Exists bool       // an object must exist
	Absent bool       // no object may exist
	AnyOf  []Revision // the object must be one of them; nil: any. Empty, but not nil: none is
	NoneOf []Revision // the object must be none of them
}

// Revision identifies a version of an object.
type Revision struct {
	ID      string
	Version int32
}

// checkAbsent refuses the creation of an object if the precondition needs a present one.
func (p Precondition) checkAbsent(key Key) error {
	if p.ID == "" && p.Version == 0 && !p.Exists && p.AnyOf == nil {
		return nil
	}
	return refuse(ReasonConflict, "%s does not exist, but the request states a version of it: omit metadata.resourceVersion and If-Match to create it", describe(key))
}

// Check refuses a write of the present object if the precondition fails.
func (p Precondition) Check(current Object) error {
	m := current.Metadata
	present := Revision{m.ID, m.ResourceVersion}
	switch {
	case p.Absent:
		return exists(current.Key())
	case slices.Contains(p.NoneOf, present):
		return refuse(ReasonConflict, "%s is at resourceVersion %d (id %s), which If-None-Match excludes: omit If-None-Match", describe(current.Key()), m.ResourceVersion, m.ID)
	case p.AnyOf != nil && !slices.Contains(p.AnyOf, present):
		return refuse(ReasonConflict, "%s is at resourceVersion %d (id %s), not at one that the request states: GET it, apply the change to that, and try again",
			describe(current.Key()), m.ResourceVersion, m.ID)
	case p.ID != "" && p.ID != m.ID, p.Version != 0 && p.Version != m.ResourceVersion:
		return p.stale(current)
	}
	return nil
}

func (p Precondition) stale(current Object) error {
	stated := fmt.Sprintf("resourceVersion %d", p.Version)
	switch {
	case p.Version == 0:
		stated = "the object with id " + quote(p.ID)
	case p.ID != "":
		stated += " of the object with id " + quote(p.ID)
	}
	return refuse(ReasonConflict, "%s is at resourceVersion %d (id %s), the request states %s: GET it, apply the change to that, and try again",
		describe(current.Key()), current.Metadata.ResourceVersion, current.Metadata.ID, stated)
}
