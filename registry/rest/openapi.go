package rest

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

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
	openAPI, swagger, err := descriptions(s.build.Version)
	if err != nil {
		panic(err) // it is embedded and tested
	}
	for path, document := range map[string]json.RawMessage{openAPIPath: openAPI, swaggerPath: swagger, platformSwaggerPath: swagger} {
		s.route(r, path, public, methods{http.MethodGet: func(*http.Request) (response, error) {
			return response{status: http.StatusOK, body: document}, nil
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
