// Package rest serves the registry with the REST API of Ververica Platform. It uses
// [registry.Registry], and does not depend on the store.
//
// A handler returns a response or an error; only server.endpoint writes it.
package rest

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"

	"drey.dev/drey/denials"
	"drey.dev/drey/inventory"
	"drey.dev/drey/registry"
	"drey.dev/drey/registry/access"
)

// Options configure the API. Registry and Log are required.
type Options struct {
	Registry *registry.Registry
	Log      *slog.Logger
	Build    Build // for system-info

	// VVPVersion is the version of Ververica Platform in system-info; "": [DefaultVVPVersion].
	VVPVersion string

	Metrics prometheus.Registerer // nil: no metrics

	// Inventory has the workloads of the cluster; nil: there is no cluster.
	Inventory *inventory.Inventory

	// Readiness returns whether Flink may run in the Kubernetes namespace of a target; false: that
	// is unknown. Nil: there is no cluster.
	Readiness func(platformNamespace, target, kubernetesNamespace string) (registry.Readiness, bool)

	// Denials has the history of denials; nil: there is no cluster.
	Denials *denials.History

	// Closing is closed when the server shuts down, which ends streams; nil: never.
	Closing <-chan struct{}

	// Access authenticates callers by their tokens. Nil: no authentication, every caller may do
	// everything, for a server that listens on loopback only.
	Access access.Authenticator
	// Throttle limits wrong tokens; nil: a new one. The console shares it.
	Throttle *access.Throttle

	// AccessLog logs requests at info level, instead of debug.
	AccessLog bool

	// MaxInFlight limits the requests in flight; 0: 256. More get a 429. With Access, one caller
	// gets a quarter of the limit, and one platform namespace half. The memory of bodies has a
	// separate limit.
	MaxInFlight int

	// Timeout bounds a request after its body was received; 0: 15 s. The response is a 503 then,
	// and a write may or may not have happened.
	Timeout time.Duration
}

// DefaultVVPVersion is the version of Ververica Platform whose API drey has.
const DefaultVVPVersion = "2.6.1"

// New returns a handler that serves the API.
func New(o Options) http.Handler {
	limit := cmp.Or(o.MaxInFlight, 256)
	throttle := o.Throttle
	if throttle == nil {
		throttle = access.NewThrottle()
	}
	s := &server{
		registry: o.Registry, log: o.Log, build: o.Build, vvpVersion: cmp.Or(o.VVPVersion, DefaultVVPVersion), now: time.Now, metrics: newMetrics(o.Metrics), requestLevel: slog.LevelDebug,
		filter: filter{access: o.Access, throttle: throttle, inFlight: newLimiter(limit), lookups: newLimiter(limit), bodies: newBodyBudget(), timeout: cmp.Or(o.Timeout, 15*time.Second), log: o.Log},
	}
	s.inventory, s.denials, s.closing, s.streams = o.Inventory, o.Denials, o.Closing, newLimiter(maxStreams)
	s.readiness = o.Readiness
	if o.AccessLog {
		s.requestLevel = slog.LevelInfo
	}
	r := mux.NewRouter().SkipClean(true) // cleaning redirects, which loses the body
	s.route(r, "/api/v1/status", public, methods{http.MethodGet: s.status})
	s.route(r, "/api/v1/status/system-info", public, methods{http.MethodGet: s.systemInfo})

	s.routeCompatible(r) // before /deployments/{name}
	for path, kind := range map[string]registry.Kind{
		"deployment-targets": registry.DeploymentTarget,
		"deployments":        registry.Deployment,
		"sessionclusters":    registry.SessionCluster,
	} {
		c := collection{server: s, kind: kind}
		one := methods{http.MethodGet: c.get, http.MethodPut: c.put, http.MethodPatch: c.patch, http.MethodDelete: c.delete}
		if kind == registry.DeploymentTarget {
			delete(one, http.MethodPatch) // not in the API
		}
		s.route(r, "/api/v1/namespaces/{namespace}/"+path, resource{kind: kind}, methods{http.MethodGet: c.list, http.MethodPost: c.post})
		s.route(r, "/api/v1/namespaces/{namespace}/"+path+"/{name}", resource{kind: kind, name: "name"}, one)
		if isReferable[kind] {
			s.route(r, "/api/v1/namespaces/{namespace}/"+path+"/{name}/references", resource{kind: kind, name: "name"}, methods{http.MethodGet: c.references})
		}
	}
	s.route(r, "/api/v1/namespaces/{namespace}/jobs", resource{kind: registry.Job}, methods{http.MethodGet: s.listJobs})
	s.route(r, "/api/v1/namespaces/{namespace}/jobs/{id}", resource{kind: registry.Job, name: "id"}, methods{http.MethodGet: s.getJob})
	s.route(r, "/namespaces/v1/namespaces", resource{kind: registry.Namespace}, methods{http.MethodGet: s.listNamespaces, http.MethodPost: s.createNamespace})
	s.route(r, "/namespaces/v1/namespaces/{namespace}", resource{kind: registry.Namespace, name: "namespace"},
		methods{http.MethodGet: s.getNamespace, http.MethodPut: s.putNamespace, http.MethodDelete: s.deleteNamespace})
	s.route(r, "/apitokens/v1/namespaces/{namespace}/apitokens", resource{kind: registry.APIToken},
		methods{http.MethodGet: s.listTokens, http.MethodPost: s.createToken})
	s.route(r, "/apitokens/v1/namespaces/{namespace}/apitokens/{name}", resource{kind: registry.APIToken, name: "name"},
		methods{http.MethodGet: s.getToken, http.MethodDelete: s.deleteToken})
	s.routeObserve(r)
	s.routeDescription(r)
	r.NotFoundHandler = s.endpoint("none", methods{}, s.notFound)
	return r
}

// Build identifies the running program.
type Build struct {
	Version string
	Time    string // RFC 3339, empty if unknown
	Commit  string // the full hash, empty if unknown
}

type server struct {
	registry     *registry.Registry
	inventory    *inventory.Inventory // nil without a cluster
	denials      *denials.History     // nil without a cluster
	readiness    func(platformNamespace, target, kubernetesNamespace string) (registry.Readiness, bool)
	closing      <-chan struct{}
	streams      *limiter
	log          *slog.Logger
	build        Build
	vvpVersion   string
	now          func() time.Time
	metrics      *metrics
	filter       filter
	requestLevel slog.Level // of the log of requests
}

// methods maps HTTP methods to handlers.
type methods map[string]func(*http.Request) (response, error)

// route serves a path behind the filter, with or without a slash at its end, as Ververica
// Platform does.
func (s *server) route(r *mux.Router, path string, res resource, m methods) {
	for method, handle := range m {
		m[method] = s.filter.wrap(res, method, handle)
	}
	m[http.MethodHead] = m[http.MethodGet]
	h := s.endpoint(path, m, s.methodNotAllowed(m))
	r.Handle(path, h)
	r.Handle(path+"/", h)
}

func (s *server) notFound(r *http.Request) (response, error) {
	message := "the path does not exist: the API description is at /swagger/"
	if base := versionPattern.FindString(r.URL.Path); base != "" && !slices.Contains(served, base) {
		message = fmt.Sprintf("drey does not serve %s: it serves %s, described at /swagger/", base, strings.Join(served, ", "))
	}
	return response{}, &problem{http.StatusNotFound, registry.ReasonNotFound, message}
}

// versionPattern matches the first two segments of a path, an API and its version.
var versionPattern = regexp.MustCompile(`^/[a-z-]{1,40}/v[0-9][0-9a-z]{0,20}\b`)

// served are the APIs and versions that drey serves.
var served = []string{"/api/v1", "/namespaces/v1", "/apitokens/v1", "/drey/v1"}

func (s *server) status(*http.Request) (response, error) {
	return response{status: http.StatusOK, body: map[string]any{
		"kind": "Status", "apiVersion": apiVersion, "status": map[string]any{"ready": true},
	}}, nil
}

// systemInfo has the version of Ververica Platform as buildVersion, which clients compare.
func (s *server) systemInfo(*http.Request) (response, error) {
	short := s.build.Commit
	if len(short) > 7 {
		short = short[:7]
	}
	return response{status: http.StatusOK, body: map[string]any{
		"kind": "SystemInformation", "apiVersion": apiVersion,
		"status": map[string]any{"revisionInformation": map[string]string{
			"buildVersion": s.vvpVersion, "dreyVersion": s.build.Version, "buildTime": s.build.Time,
			"commitShaShort": short, "commitShaLong": s.build.Commit,
		}},
	}}, nil
}
