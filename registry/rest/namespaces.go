package rest

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/access"
)

// Platform namespaces have their own format, as in Ververica Platform ("Namespaces" in its
// documentation).

// namePrefix precedes the name of a platform namespace in bodies, but not in paths.
const namePrefix = "namespaces/"

type namespaceDocument struct {
	Name           string                 `json:"name"`
	RoleBindings   []registry.RoleBinding `json:"roleBindings"` // never null
	CreateTime     time.Time              `json:"createTime"`
	LifecyclePhase string                 `json:"lifecyclePhase"`
}

func toNamespaceDocument(o registry.Object) namespaceDocument {
	return namespaceDocument{
		Name: namePrefix + o.Metadata.Name, RoleBindings: append([]registry.RoleBinding{}, registry.RoleBindings(o)...),
		CreateTime: o.Metadata.CreatedAt, LifecyclePhase: "LIFECYCLE_PHASE_ACTIVE",
	}
}

func (s *server) listNamespaces(r *http.Request) (response, error) {
	all, err := s.registry.Namespaces(r.Context())
	if err != nil {
		return response{}, err
	}
	documents := []namespaceDocument{}
	for _, o := range all {
		ok, err := allowed(r, access.Request{Verb: access.Get, Kind: registry.Namespace, Namespace: o.Metadata.Name})
		if err != nil {
			return response{}, err
		}
		if ok {
			documents = append(documents, toNamespaceDocument(o))
		}
	}
	return response{status: http.StatusOK, body: map[string]any{"namespaces": documents}}, nil
}

func (s *server) getNamespace(r *http.Request) (response, error) {
	return oneNamespace(http.StatusOK)(s.registry.GetNamespace(r.Context(), mux.Vars(r)["namespace"], registry.Cached))
}

// namespaceInput is a platform namespace in the body of a request. Other fields are ignored.
type namespaceInput struct {
	Name         string                 `json:"name"` // with or without namePrefix
	RoleBindings []registry.RoleBinding `json:"roleBindings"`
}

func readNamespace(r *http.Request) (sent namespaceInput, err error) {
	text, err := readBody(r)
	if err == nil {
		err = text.decode(&sent)
	}
	sent.Name = strings.TrimPrefix(sent.Name, namePrefix)
	return sent, err
}

func (s *server) createNamespace(r *http.Request) (response, error) {
	sent, err := readNamespace(r)
	if err != nil {
		return response{}, err
	}
	o, err := s.registry.CreateNamespace(r.Context(), sent.Name, sent.RoleBindings...)
	if err == nil {
		s.audit(r, access.Create, o, 0)
	}
	resp, err := oneNamespace(http.StatusCreated)(o, err)
	return s.warn(resp, o), err
}

// putNamespace replaces the role bindings. It creates no platform namespace: nobody is its owner yet.
func (s *server) putNamespace(r *http.Request) (response, error) {
	sent, err := readNamespace(r)
	if err != nil {
		return response{}, err
	}
	name := mux.Vars(r)["namespace"]
	if sent.Name != "" && sent.Name != name {
		return response{}, badRequest("name is %q, but the path has %q: correct or omit it", sent.Name, name)
	}
	o, outcome, err := s.registry.PutNamespace(r.Context(), name, sent.RoleBindings)
	if outcome == registry.Replaced && err == nil {
		s.audit(r, access.Update, o, o.Metadata.ResourceVersion-1)
	}
	resp, err := oneNamespace(http.StatusOK)(o, err)
	return s.warn(resp, o), err
}

// warn adds the warnings about a platform namespace to the response to its write.
func (s *server) warn(resp response, o registry.Object) response {
	resp.header = http.Header{}
	addWarnings(resp.header, s.warningsOf(o)...)
	return resp
}

// warningsOf returns which role bindings of a platform namespace grant nothing.
func (s *server) warningsOf(o registry.Object) []string {
	bindings := registry.RoleBindings(o)
	switch {
	case len(bindings) == 0:
		return nil
	case s.filter.access == nil:
		return []string{"the role bindings grant nothing: drey runs without authentication, so every caller may do everything: see --rest-auth"}
	case access.TokensOf(s.filter.access) == nil:
		return []string{"the role bindings grant nothing: RBAC of the cluster authorizes callers: use kubectl create rolebinding"}
	}
	unknown := access.UnknownMembers(bindings)
	if len(unknown) == 0 {
		return nil
	}
	const most = 10
	quoted := make([]string, min(len(unknown), most))
	for i := range quoted {
		quoted[i] = excerpt(unknown[i])
	}
	if len(unknown) > most {
		quoted = append(quoted, fmt.Sprintf("and %d more", len(unknown)-most))
	}
	return []string{fmt.Sprintf("the role bindings grant nothing to %s: use %s, or namespaces/NAMESPACE/apitokens/NAME for an API token",
		strings.Join(quoted, ", "), access.Authenticated)}
}

func (s *server) deleteNamespace(r *http.Request) (response, error) {
	options, err := readDeleteOptions(r)
	if err != nil {
		return response{}, err
	}
	if options.Preconditions != (preconditions{}) {
		return response{}, badRequest("preconditions of the deletion of a platform namespace are not supported: omit them")
	}
	o, tokens, err := s.registry.DeleteNamespace(r.Context(), mux.Vars(r)["namespace"])
	for _, t := range tokens {
		s.audit(r, access.Delete, t, t.Metadata.ResourceVersion)
	}
	if err == nil {
		s.audit(r, access.Delete, o, o.Metadata.ResourceVersion)
	}
	return oneNamespace(http.StatusOK)(o, err)
}

func oneNamespace(status int) func(registry.Object, error) (response, error) {
	return func(o registry.Object, err error) (response, error) {
		if err != nil {
			return response{}, err
		}
		return response{status: status, body: map[string]any{"namespace": toNamespaceDocument(o)}}, nil
	}
}
