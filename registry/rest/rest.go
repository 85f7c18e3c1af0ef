// Package rest serves the registry over the REST API of Ververica Platform,
// which clients already speak. It knows the rules' owner, [registry.Registry],
// and not which store keeps the objects.
//
// A handler returns an answer or an error; [endpoint] alone writes.
package rest

import (
	"cmp"
	"log/slog"
	"net/http"
	"time"

	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/access"
)

// Options is what the API needs. Registry and Log are required.
type Options struct {
	Registry *registry.Registry
	Log      *slog.Logger
	Build    Build                 // what system-info reports
	Metrics  prometheus.Registerer // nil: none are kept

	// Access knows who callers are, by their tokens. nil: everybody may do
	// everything, for a server that only this machine reaches.
	Access access.Authenticator

	// AccessLog has every request logged; else they are at debug level only.
	AccessLog bool

	// AtOnce is how many requests are answered at once, beyond which 429 is
	// the answer; 0 means 256. The memory of their bodies has a budget besides. With
	// Access, one caller has at most a quarter of them, and what concerns one
	// platform namespace half.
	AtOnce int

	// Patience is how long the registry may take over a request that has been
	// received; 0 means 15 s. Then the answer is 503, and whether a write took place is
	// for the client to look at.
	Patience time.Duration
}

// New returns the whole API as a handler.
func New(o Options) http.Handler {
	atOnce := cmp.Or(o.AtOnce, 256)
	s := &server{
		registry: o.Registry, log: o.Log, build: o.Build, metrics: newMetrics(o.Metrics), requests: slog.LevelDebug,
		door: door{access: o.Access, throttle: access.NewThrottle(), places: newPlaces(atOnce), lookups: newPlaces(atOnce), bodies: newBodyBudget(), patience: cmp.Or(o.Patience, 15*time.Second), log: o.Log},
	}
	if o.AccessLog {
		s.requests = slog.LevelInfo
	}
	r := mux.NewRouter().SkipClean(true) // a cleaned path would be a redirect, which loses the body
	s.route(r, "/api/v1/status", open, methods{http.MethodGet: s.status})
	s.route(r, "/api/v1/status/system-info", open, methods{http.MethodGet: s.systemInfo})

	for path, kind := range map[string]registry.Kind{
		"deployment-targets": registry.DeploymentTarget,
		"deployments":        registry.Deployment,
		"sessionclusters":    registry.SessionCluster,
	} {
		c := collection{server: s, kind: kind}
		one := methods{http.MethodGet: c.get, http.MethodPut: c.put, http.MethodPatch: c.patch, http.MethodDelete: c.delete}
		if kind == registry.DeploymentTarget {
			delete(one, http.MethodPatch) // no version of the API has it
		}
		s.route(r, "/api/v1/namespaces/{namespace}/"+path, subject{kind: kind}, methods{http.MethodGet: c.list, http.MethodPost: c.post})
		s.route(r, "/api/v1/namespaces/{namespace}/"+path+"/{name}", subject{kind: kind, one: "name"}, one)
		if referable[kind] {
			s.route(r, "/api/v1/namespaces/{namespace}/"+path+"/{name}/references", subject{kind: kind, one: "name"}, methods{http.MethodGet: c.references})
		}
	}
	s.route(r, "/api/v1/namespaces/{namespace}/jobs", subject{kind: registry.Job}, methods{http.MethodGet: s.listJobs})
	s.route(r, "/api/v1/namespaces/{namespace}/jobs/{id}", subject{kind: registry.Job, one: "id"}, methods{http.MethodGet: s.getJob})
	for _, end := range []string{"", "/"} { // the original's documentation has the slash
		s.route(r, "/namespaces/v1/namespaces"+end, subject{kind: registry.Namespace}, methods{http.MethodGet: s.listNamespaces, http.MethodPost: s.createNamespace})
	}
	s.route(r, "/namespaces/v1/namespaces/{namespace}", subject{kind: registry.Namespace, one: "namespace"},
		methods{http.MethodGet: s.getNamespace, http.MethodDelete: s.deleteNamespace})
	s.route(r, "/apitokens/v1/namespaces/{namespace}/apitokens", subject{kind: registry.APIToken},
		methods{http.MethodGet: s.listTokens, http.MethodPost: s.createToken})
	s.route(r, "/apitokens/v1/namespaces/{namespace}/apitokens/{name}", subject{kind: registry.APIToken, one: "name"},
		methods{http.MethodGet: s.getToken, http.MethodDelete: s.deleteToken})
	s.routeDescription(r)
	r.NotFoundHandler = s.endpoint("none", methods{}, s.nothingHere)
	return r
}

// Build identifies the running program.
type Build struct {
	Version string
	Time    string // RFC 3339, empty if unknown
	Commit  string // the full hash, empty if unknown
}

type server struct {
	registry *registry.Registry
	log      *slog.Logger
	build    Build
	metrics  *metrics
	door     door
	requests slog.Level // at which each is logged
}

// methods maps an HTTP method to what answers it.
type methods map[string]func(*http.Request) (answer, error)

// route answers a path, to those who may do to its subject what they ask.
func (s *server) route(r *mux.Router, path string, about subject, m methods) {
	for method, handle := range m {
		m[method] = s.door.guard(about, method, handle)
	}
	m[http.MethodHead] = m[http.MethodGet]
	r.Handle(path, s.endpoint(path, m, s.noSuchMethod(m)))
}

func (s *server) nothingHere(r *http.Request) (answer, error) {
	return answer{}, &problem{http.StatusNotFound, registry.ReasonNotFound,
		"there is nothing at this path: the targets of a platform namespace are at /api/v1/namespaces/{namespace}/deployment-targets"}
}

func (s *server) status(*http.Request) (answer, error) {
	return answer{status: http.StatusOK, body: map[string]any{
		"kind": "Status", "apiVersion": apiVersion, "status": map[string]any{"ready": true},
	}}, nil
}

func (s *server) systemInfo(*http.Request) (answer, error) {
	short := s.build.Commit
	if len(short) > 7 {
		short = short[:7]
	}
	return answer{status: http.StatusOK, body: map[string]any{
		"kind": "SystemInformation", "apiVersion": apiVersion,
		"status": map[string]any{"revisionInformation": map[string]string{
			"buildVersion": s.build.Version, "buildTime": s.build.Time,
			"commitShaShort": short, "commitShaLong": s.build.Commit,
		}},
	}}, nil
}
