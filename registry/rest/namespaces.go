package rest

import (
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/access"
)

// Platform namespaces have another form on the wire than what is in them: an
// older part of the original speaks it (its documentation, "Namespaces").

// namePrefix stands before a namespace's name on the wire, but not in paths.
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

func (s *server) listNamespaces(r *http.Request) (answer, error) {
	all, err := s.registry.Namespaces(r.Context())
	if err != nil {
		return answer{}, err
	}
	documents := []namespaceDocument{}
	for _, o := range all {
		mine, err := may(r, access.Request{Verb: access.Get, Kind: registry.Namespace, Namespace: o.Metadata.Name})
		if err != nil {
			return answer{}, err
		}
		if mine {
			documents = append(documents, toNamespaceDocument(o))
		}
	}
	return answer{status: http.StatusOK, body: map[string]any{"namespaces": documents}}, nil
}

func (s *server) getNamespace(r *http.Request) (answer, error) {
	return oneNamespace(http.StatusOK)(s.registry.GetNamespace(r.Context(), mux.Vars(r)["namespace"], registry.Cached))
}

func (s *server) createNamespace(r *http.Request) (answer, error) {
	text, err := readBody(r)
	if err != nil {
		return answer{}, err
	}
	var sent struct {
		Name string `json:"name"`
	}
	if err := text.decode(&sent); err != nil {
		return answer{}, err
	}
	o, err := s.registry.CreateNamespace(r.Context(), strings.TrimPrefix(sent.Name, namePrefix))
	if err == nil {
		s.audit(r, access.Create, o, 0)
	}
	return oneNamespace(http.StatusCreated)(o, err)
}

func (s *server) deleteNamespace(r *http.Request) (answer, error) {
	o, tokens, err := s.registry.DeleteNamespace(r.Context(), mux.Vars(r)["namespace"])
	for _, t := range tokens {
		s.audit(r, access.Delete, t, t.Metadata.ResourceVersion)
	}
	if err == nil {
		s.audit(r, access.Delete, o, o.Metadata.ResourceVersion)
	}
	return oneNamespace(http.StatusOK)(o, err)
}

func oneNamespace(status int) func(registry.Object, error) (answer, error) {
	return func(o registry.Object, err error) (answer, error) {
		if err != nil {
			return answer{}, err
		}
		return answer{status: status, body: map[string]any{"namespace": toNamespaceDocument(o)}}, nil
	}
}
