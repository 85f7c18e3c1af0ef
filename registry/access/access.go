// Package access authorizes requests to the registry: by the roles of the REST API, and the API
// tokens that grant them.
package access

import (
	"context"
	"errors"
	"fmt"

	"drey.dev/drey/registry"
)

// Verb is a verb of Kubernetes RBAC.
type Verb string

// The verbs. A PUT is both Update and Create.
const (
	List   Verb = "list"
	Get    Verb = "get"
	Create Verb = "create"
	Update Verb = "update"
	Patch  Verb = "patch"
	Delete Verb = "delete"
)

// Request is an operation to authorize.
type Request struct {
	Verb Verb
	Kind registry.Kind
	// Namespace is the platform namespace. For the kind Namespace it is the name of the object;
	// "": all.
	Namespace string
	Name      string // "" for lists and creations
}

// String returns for example `delete Deployment "orders" in platform namespace "team-a"`.
func (r Request) String() string {
	text := fmt.Sprintf("%s %s", r.Verb, r.Kind)
	if r.Name != "" {
		text += fmt.Sprintf(" %q", r.Name)
	}
	switch {
	case r.Kind == registry.Namespace && r.Namespace != "":
		return fmt.Sprintf("%s %q", text, r.Namespace)
	case r.Kind == registry.Namespace:
		return text
	case r.Namespace == registry.Everywhere:
		return text + " for all platform namespaces"
	}
	return fmt.Sprintf("%s in platform namespace %q", text, r.Namespace)
}

// Caller is an authenticated user.
type Caller interface {
	registry.Requester
	// May reports whether the caller may do something. The error means that the check failed.
	May(ctx context.Context, r Request) (bool, error)
}

// ErrUnknown means that no caller has the token.
var ErrUnknown = errors.New("the token is not valid")

// Role is the role of an API token.
type Role string

// The roles of Ververica Platform (its documentation, "Access Control").
const (
	Viewer Role = "viewer" // reads everything but tokens
	Editor Role = "editor" // also writes Deployments and SessionClusters
	Owner  Role = "owner"  // may do everything
)

// Roles are all roles, each a superset of the one before.
var Roles = []Role{Viewer, Editor, Owner}

// Allows reports whether a role permits a verb on a kind.
func (r Role) Allows(verb Verb, kind registry.Kind) bool {
	switch r {
	case Owner:
		return true
	case Editor:
		if kind == registry.Deployment || kind == registry.SessionCluster {
			return true
		}
		return Viewer.Allows(verb, kind)
	case Viewer:
		return (verb == List || verb == Get) && kind != registry.APIToken
	}
	return false
}

// holder is the caller with an API token.
type holder struct {
	name      string
	namespace string // or [registry.Everywhere]
	role      Role
	member    string // in role bindings
	tokens    *Tokens
}

func (h holder) Name() string { return h.name }

// MayCreatePods implements registry.Requester. The cluster has no user for a token, so only the role
// limits targets.
func (h holder) MayCreatePods(context.Context, string) (bool, error) { return true, nil }

func (h holder) May(_ context.Context, r Request) (bool, error) {
	if ok := h.mayByToken(r); ok || r.Kind == registry.Namespace && r.Verb == Create {
		return ok, nil
	}
	return h.tokens.bound(h.member, r), nil
}

// mayByToken reports whether the role of the token permits a request.
func (h holder) mayByToken(r Request) bool {
	if h.namespace == registry.Everywhere {
		return h.role.Allows(r.Verb, r.Kind)
	}
	if r.Kind == registry.Namespace && r.Namespace == "" {
		return r.Verb == List // the list is filtered by get
	}
	if r.Kind == registry.Namespace && r.Verb == Create {
		return false // no role covers a new platform namespace
	}
	return r.Namespace == h.namespace && h.role.Allows(r.Verb, r.Kind)
}
