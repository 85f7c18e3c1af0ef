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

// OpenAPI is the description of the API, in JSON, for a version of the program.
func OpenAPI(version string) (json.RawMessage, error) {
	var document map[string]any
	if err := yaml.Unmarshal(openAPIText, &document); err != nil {
		return nil, fmt.Errorf("the API's own description: %w", err)
	}
	if info, ok := document["info"].(map[string]any); ok && version != "" {
		info["version"] = version
	}
	return json.Marshal(document)
}

// Where the description is: the first path is the original's.
const (
	swaggerPath = "/api/swagger.json"
	openAPIPath = "/openapi.json"
	uiPath      = "/swagger"
)

// routeDescription serves the API's description, and pages that show it to
// people. Both are open: they are the same everywhere.
func (s *server) routeDescription(r *mux.Router) {
	document, err := OpenAPI(s.build.Version)
	if err != nil {
		panic(err) // it is part of the program, and tests read it
	}
	description := func(*http.Request) (answer, error) {
		return answer{status: http.StatusOK, body: document}, nil
	}
	s.route(r, swaggerPath, open, methods{http.MethodGet: description})
	s.route(r, openAPIPath, open, methods{http.MethodGet: description})
	pages := v5emb.New("drey", openAPIPath, uiPath+"/")
	r.PathPrefix(uiPath).Methods(http.MethodGet, http.MethodHead).MatcherFunc(func(r *http.Request, _ *mux.RouteMatch) bool {
		return r.URL.Path == uiPath || strings.HasPrefix(r.URL.Path, uiPath+"/")
	}).HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == uiPath {
			http.Redirect(w, r, uiPath+"/", http.StatusMovedPermanently)
			return
		}
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("X-Frame-Options", "DENY")
		pages.ServeHTTP(w, r)
	})
}
