package rest

import (
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
	Name           string        `json:"name"`
	RoleBindings   []roleBinding `json:"roleBindings"`
	CreateTime     time.Time     `json:"createTime"`
	LifecyclePhase string        `json:"lifecyclePhase"`
}

type roleBinding struct {
	Role    string   `json:"role"`
	Members []string `json:"members"`
}

func toNamespaceDocument(o registry.Object) namespaceDocument {
	return namespaceDocument{
		Name: namePrefix + o.Metadata.Name, RoleBindings: []roleBinding{},
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

func (s *server) createNamespace(r *http.Request) (response, error) {
	text, err := readBody(r)
	if err != nil {
		return response{}, err
	}
	var sent struct {
		Name string `json:"name"`
	}
	if err := text.decode(&sent); err != nil {
		return response{}, err
	}
	o, err := s.registry.CreateNamespace(r.Context(), strings.TrimPrefix(sent.Name, namePrefix))
	if err == nil {
		s.audit(r, access.Create, o, 0)
	}
	return oneNamespace(http.StatusCreated)(o, err)
}

func (s *server) deleteNamespace(r *http.Request) (response, error) {
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
