package rest

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/gorilla/mux"
	"github.com/swaggest/swgui/v5emb"
	"sigs.k8s.io/yaml"
)

//go:embed openapi.yaml
var openAPIText []byte

// descriptions returns the description of the API as OpenAPI 3.0 and as Swagger 2.0, for a version of drey.
func descriptions(version string) (openAPI, swagger json.RawMessage, err error) {
	var document map[string]any
	if err := yaml.Unmarshal(openAPIText, &document); err != nil {
		return nil, nil, fmt.Errorf("parse the OpenAPI description: %w", err)
	}
	if info, ok := document["info"].(map[string]any); ok && version != "" {
		info["version"] = version
	}
	if openAPI, err = json.Marshal(document); err != nil {
		return nil, nil, err
	}
	swagger, err = json.Marshal(toSwagger(document))
	return openAPI, swagger, err
}

// Paths of the description. Ververica Platform has both Swagger paths, the second for platform
// namespaces and API tokens; here each has all.
const (
	openAPIPath         = "/openapi.json"
	swaggerPath         = "/api/swagger.json"
	platformSwaggerPath = "/swagger.json"
	uiPath              = "/swagger"
)

// routeDescription serves the OpenAPI description and the Swagger UI, without authentication.
func (s *server) routeDescription(r *mux.Router) {
	type documents struct{ openAPI, swagger json.RawMessage }
	read := sync.OnceValues(func() (d documents, err error) { // 20 ms, which start does not wait for
		d.openAPI, d.swagger, err = descriptions(s.build.Version)
		return d, err
	})
	for path, document := range map[string]func(documents) json.RawMessage{
		openAPIPath: func(d documents) json.RawMessage { return d.openAPI }, swaggerPath: func(d documents) json.RawMessage { return d.swagger },
		platformSwaggerPath: func(d documents) json.RawMessage { return d.swagger },
	} {
		s.route(r, path, public, methods{http.MethodGet: func(*http.Request) (response, error) {
			d, err := read()
			return response{status: http.StatusOK, body: document(d)}, err
		}})
	}
	pages := v5emb.New("drey", openAPIPath, uiPath+"/")
	r.PathPrefix(uiPath).Methods(http.MethodGet, http.MethodHead).MatcherFunc(func(r *http.Request, _ *mux.RouteMatch) bool {
		return r.URL.Path == uiPath || strings.HasPrefix(r.URL.Path, uiPath+"/")
	}).HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("X-Frame-Options", "DENY")
		pages.ServeHTTP(w, r)
	})
}
