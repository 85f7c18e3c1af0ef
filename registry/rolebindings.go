package registry

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
)

// RoleBinding binds a role in a platform namespace to members, as in Ververica Platform. Package
// access defines which members it grants the role to.
type RoleBinding struct {
	Role    string   `json:"role"`
	Members []string `json:"members"`
}

// roles are those of Ververica Platform.
var roles = []string{"viewer", "editor", "owner"}

// maxRoleBindings is the maximum size in bytes of the role bindings of a platform namespace, as JSON.
const maxRoleBindings = 64 << 10

type namespaceSpec struct {
	RoleBindings []RoleBinding `json:"roleBindings,omitempty"`
}

// RoleBindings returns the role bindings of a platform namespace.
func RoleBindings(o Object) []RoleBinding {
	var spec namespaceSpec
	if json.Unmarshal(o.Spec, &spec) != nil {
		return nil // of a store that others write to
	}
	return spec.RoleBindings
}

// NamespaceSpec returns the spec of a platform namespace with role bindings.
func NamespaceSpec(bindings []RoleBinding) json.RawMessage {
	for i, b := range bindings {
		if b.Members == nil {
			bindings[i].Members = []string{}
		}
	}
	text, _ := json.Marshal(namespaceSpec{bindings}) // strings marshal
	return text
}

// PutNamespace replaces the role bindings of a platform namespace. Refused with [ReasonNotFound] or
// [ReasonInvalidSpec].
func (r *Registry) PutNamespace(ctx context.Context, name string, bindings []RoleBinding) (Object, Outcome, error) {
	if err := checkRoleBindings(bindings); err != nil {
		return Object{}, Unchanged, err
	}
	unlock, err := r.guard.share(ctx)
	if err != nil {
		return Object{}, Unchanged, err
	}
	defer unlock()
	const attempts = 20
	for range attempts {
		o, err := r.GetNamespace(ctx, name, Consistent)
		if err != nil {
			return Object{}, Unchanged, err
		}
		spec := NamespaceSpec(bindings)
		if sameSpec(spec, o.Spec) {
			return o, Unchanged, nil
		}
		o.Spec, o.Metadata.ModifiedAt = spec, r.timestamp()
		stored, err := r.store.Update(ctx, o, o.Metadata.ResourceVersion)
		if errors.Is(err, ErrConflict) || errors.Is(err, ErrNotFound) {
			continue
		}
		return stored, Replaced, err
	}
	return Object{}, Unchanged, refuse(ReasonConflict, "cannot replace the role bindings of platform namespace %s: it changed %d times meanwhile: try again", quote(name), attempts)
}

func checkRoleBindings(bindings []RoleBinding) error {
	for i, b := range bindings {
		if !slices.Contains(roles, b.Role) {
			return refuse(ReasonInvalidSpec, "roleBindings[%d].role is %s: use viewer, editor or owner", i, quote(b.Role))
		}
		if slices.Contains(b.Members, "") {
			return refuse(ReasonInvalidSpec, "roleBindings[%d].members has an empty name: remove it", i)
		}
	}
	if size := len(NamespaceSpec(bindings)); size > maxRoleBindings {
		return refuse(ReasonInvalidSpec, "roleBindings have %d bytes, more than %d: bind roles to fewer members", size, maxRoleBindings)
	}
	return nil
}
