package rest

import (
	"fmt"
	"net/http"
	"regexp"
	"time"

	"github.com/gorilla/mux"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/access"
)

// tokenDocument is an API token in a body, as in Ververica Platform ("API Tokens" in its
// documentation).
type tokenDocument struct {
	Name       string      `json:"name"`             // for example namespaces/default/apitokens/ci
	Secret     string      `json:"secret,omitempty"` // only in the response to its creation
	Role       access.Role `json:"role"`
	CreateTime time.Time   `json:"createTime"`
}

// fullTokenName matches a name with its platform namespace, as in responses.
var fullTokenName = regexp.MustCompile(`^namespaces/([^/]+)/apitokens/(.*)$`)

// tokenPrefix returns the prefix of the names of tokens of a platform namespace.
func tokenPrefix(namespace string) string { return namePrefix + namespace + "/apitokens/" }

func toTokenDocument(o registry.Object) (tokenDocument, error) {
	role, err := access.RoleOf(o)
	return tokenDocument{Name: tokenPrefix(o.Metadata.Namespace) + o.Metadata.Name, Role: role, CreateTime: o.Metadata.CreatedAt}, err
}

func (s *server) listTokens(r *http.Request) (response, error) {
	all, err := s.registry.List(r.Context(), registry.APIToken, mux.Vars(r)["namespace"], nil)
	if err != nil {
		return response{}, err
	}
	documents := make([]tokenDocument, len(all))
	for i, o := range all {
		if documents[i], err = toTokenDocument(o); err != nil {
			return response{}, err
		}
	}
	return response{status: http.StatusOK, body: map[string]any{"apiTokens": documents}}, nil
}

func (s *server) getToken(r *http.Request) (response, error) {
	return oneToken(http.StatusOK, "")(s.registry.Get(r.Context(), tokenKey(r), registry.Cached))
}

func (s *server) createToken(r *http.Request) (response, error) {
	text, err := readBody(r)
	if err != nil {
		return response{}, err
	}
	var sent struct {
		Name string      `json:"name"`
		Role access.Role `json:"role"`
	}
	if err := text.decode(&sent); err != nil {
		return response{}, err
	}
	namespace := mux.Vars(r)["namespace"]
	name, warnings := sent.Name, []string(nil)
	if parts := fullTokenName.FindStringSubmatch(name); parts != nil {
		name = parts[2]
		if parts[1] != namespace {
			warnings = append(warnings, fmt.Sprintf("name is %s, but the path has platform namespace %q, which counts: correct it, or use only the last part of the name", excerpt(sent.Name), namespace))
		}
	}
	o, secret, err := access.Issue(namespace, name, sent.Role)
	if err != nil {
		return response{}, err
	}
	o, err = s.registry.Create(r.Context(), o, nil)
	if err == nil {
		s.audit(r, access.Create, o, 0)
	}
	resp, err := oneToken(http.StatusOK, secret)(o, err)
	if err == nil {
		addWarnings(resp.header, warnings...)
	}
	return resp, err
}

func (s *server) deleteToken(r *http.Request) (response, error) {
	precondition, err := readDeletion(r)
	if err != nil {
		return response{}, err
	}
	o, err := s.registry.Delete(r.Context(), tokenKey(r), precondition)
	if err == nil {
		s.audit(r, access.Delete, o, o.Metadata.ResourceVersion)
	}
	return oneToken(http.StatusOK, "")(o, err)
}

func tokenKey(r *http.Request) registry.Key {
	vars := mux.Vars(r)
	return registry.Key{Kind: registry.APIToken, Namespace: vars["namespace"], Name: vars["name"]}
}

func oneToken(status int, secret string) func(registry.Object, error) (response, error) {
	return func(o registry.Object, err error) (response, error) {
		if err != nil {
			return response{}, err
		}
		document, err := toTokenDocument(o)
		document.Secret = secret
		return response{status: status, body: map[string]any{"apiToken": document}, header: http.Header{"Cache-Control": {"no-store"}}}, err
	}
}
