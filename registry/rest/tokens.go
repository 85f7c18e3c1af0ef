package rest

import (
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/access"
)

// tokenDocument is an API token on the wire (Ververica Platform's
// documentation, "API Tokens").
type tokenDocument struct {
	Name       string      `json:"name"`             // with its place: namespaces/default/apitokens/ci
	Secret     string      `json:"secret,omitempty"` // in the answer to its creation alone
	Role       access.Role `json:"role"`
	CreateTime time.Time   `json:"createTime"`
}

// place stands before the names of the tokens of a platform namespace.
func tokenPlace(namespace string) string { return namePrefix + namespace + "/apitokens/" }

func toTokenDocument(o registry.Object) (tokenDocument, error) {
	role, err := access.RoleOf(o)
	return tokenDocument{Name: tokenPlace(o.Metadata.Namespace) + o.Metadata.Name, Role: role, CreateTime: o.Metadata.CreatedAt}, err
}

func (s *server) listTokens(r *http.Request) (answer, error) {
	all, err := s.registry.List(r.Context(), registry.APIToken, mux.Vars(r)["namespace"], nil)
	if err != nil {
		return answer{}, err
	}
	documents := make([]tokenDocument, len(all))
	for i, o := range all {
		if documents[i], err = toTokenDocument(o); err != nil {
			return answer{}, err
		}
	}
	return answer{status: http.StatusOK, body: map[string]any{"apiTokens": documents}}, nil
}

func (s *server) getToken(r *http.Request) (answer, error) {
	return oneToken(http.StatusOK, "")(s.registry.Get(r.Context(), tokenKey(r), registry.Cached))
}

func (s *server) createToken(r *http.Request) (answer, error) {
	text, err := readBody(r)
	if err != nil {
		return answer{}, err
	}
	var sent struct {
		Name string      `json:"name"`
		Role access.Role `json:"role"`
	}
	if err := text.decode(&sent); err != nil {
		return answer{}, err
	}
	namespace := mux.Vars(r)["namespace"]
	name := strings.TrimPrefix(sent.Name, tokenPlace(namespace))
	if strings.HasPrefix(name, namePrefix) {
		return answer{}, badRequest("the token's name is %q, and the path is of platform namespace %q: make them agree, or give the last part of the name alone", sent.Name, namespace)
	}
	o, secret, err := access.Issue(namespace, name, sent.Role)
	if err != nil {
		return answer{}, err
	}
	o, err = s.registry.Create(r.Context(), o, nil)
	if err == nil {
		s.audit(r, access.Create, o, 0)
	}
	return oneToken(http.StatusCreated, secret)(o, err)
}

func (s *server) deleteToken(r *http.Request) (answer, error) {
	o, err := s.registry.Delete(r.Context(), tokenKey(r), registry.Precondition{})
	if err == nil {
		s.audit(r, access.Delete, o, o.Metadata.ResourceVersion)
	}
	return oneToken(http.StatusOK, "")(o, err)
}

func tokenKey(r *http.Request) registry.Key {
	vars := mux.Vars(r)
	return registry.Key{Kind: registry.APIToken, Namespace: vars["namespace"], Name: vars["name"]}
}

func oneToken(status int, secret string) func(registry.Object, error) (answer, error) {
	return func(o registry.Object, err error) (answer, error) {
		if err != nil {
			return answer{}, err
		}
		document, err := toTokenDocument(o)
		document.Secret = secret
		return answer{status: status, body: map[string]any{"apiToken": document}, header: http.Header{"Cache-Control": {"no-store"}}}, err
	}
}
