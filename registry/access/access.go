// Package access decides who may do what in the registry: the roles of the REST
// API, and the API tokens that give them.
package access

import (
	"context"
	"errors"
	"fmt"

	"drey.dev/drey/registry"
)

// Verb is what somebody would do, in the words of Kubernetes RBAC.
type Verb string

// The verbs. A PUT is Update, and Create too: it makes what is not there.
const (
	List   Verb = "list"
	Get    Verb = "get"
	Create Verb = "create"
	Update Verb = "update"
	Patch  Verb = "patch"
	Delete Verb = "delete"
)

// Request is one thing that somebody would do.
type Request struct {
	Verb Verb
	Kind registry.Kind
	// Namespace is the platform namespace. Of a Namespace it is its own name,
	// and empty if all of them are meant.
	Namespace string
	Name      string // empty if it is about no single object
}

// String is such as `delete Deployment "orders" in platform namespace "team-a"`.
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

// Caller is somebody who has shown who they are.
type Caller interface {
	registry.Requester
	// May tells whether the caller may do it. The error is a failure to find
	// out.
	May(ctx context.Context, r Request) (bool, error)
}

// ErrUnknown is that nobody is known by a token.
var ErrUnknown = errors.New("the token is not known")

// Role is what an API token allows.
type Role string

// The roles of Ververica Platform (its documentation, "Access Control").
const (
	Viewer Role = "viewer" // sees everything but tokens
	Editor Role = "editor" // and changes Deployments and SessionClusters
	Owner  Role = "owner"  // and does all the rest
)

// Roles are all there are, each with what the one before may.
var Roles = []Role{Viewer, Editor, Owner}

// Allows tells whether a role is enough to do something to objects of a kind.
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

// holder is the Caller with an API token.
type holder struct {
	name      string
	namespace string // or [registry.Everywhere]
	role      Role
}

func (h holder) Name() string { return h.name }

// MayCreatePods implements registry.Requester: the cluster does not know the holder, so
// the role alone decides who registers targets.
func (h holder) MayCreatePods(context.Context, string) (bool, error) { return true, nil }

func (h holder) May(_ context.Context, r Request) (bool, error) {
	if h.namespace == registry.Everywhere {
		return h.role.Allows(r.Verb, r.Kind), nil
	}
	if r.Kind == registry.Namespace && r.Namespace == "" {
		return r.Verb == List, nil // of which they see those that they may get
	}
	if r.Kind == registry.Namespace && r.Verb == Create {
		return false, nil // it is not there yet: nobody's
	}
	return r.Namespace == h.namespace && h.role.Allows(r.Verb, r.Kind), nil
}
