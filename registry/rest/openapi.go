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

// OpenAPI returns the OpenAPI description of the API, for a version of drey.
func OpenAPI(version string) (json.RawMessage, error) {
	var document map[string]any
	if err := yaml.Unmarshal(openAPIText, &document); err != nil {
		return nil, fmt.Errorf("parse the OpenAPI description: %w", err)
	}
	if info, ok := document["info"].(map[string]any); ok && version != "" {
		info["version"] = version
	}
	return json.Marshal(document)
}

// Paths of the description. Ververica Platform has the first.
const (
	swaggerPath = "/api/swagger.json"
	openAPIPath = "/openapi.json"
	uiPath      = "/swagger"
)

// routeDescription serves the OpenAPI description and the Swagger UI, without authentication.
func (s *server) routeDescription(r *mux.Router) {
	document, err := OpenAPI(s.build.Version)
	if err != nil {
		panic(err) // it is embedded and tested
	}
	description := func(*http.Request) (response, error) {
		return response{status: http.StatusOK, body: document}, nil
	}
	s.route(r, swaggerPath, public, methods{http.MethodGet: description})
	s.route(r, openAPIPath, public, methods{http.MethodGet: description})
	pages := v5emb.New("drey", openAPIPath, uiPath+"/")
	r.PathPrefix(uiPath).Methods(http.MethodGet, http.MethodHead).MatcherFunc(func(r *http.Request, _ *mux.RouteMatch) bool {
		return r.URL.Path == uiPath || strings.HasPrefix(r.URL.Path, uiPath+"/")
	}).HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("X-Frame-Options", "DENY")
		pages.ServeHTTP(w, r)
	})
}
