package rest

import (
	"fmt"
	"net/http"

	"github.com/gorilla/mux"

	"drey.dev/drey/registry"
)

// routeCompatible serves paths of Ververica Platform that clients need: Deployments with their
// custom resources, their defaults and events, the usage of resources, and, empty, savepoints and
// secret values.
func (s *server) routeCompatible(r *mux.Router) {
	const namespace = "/api/v1/namespaces/{namespace}"
	c := collection{server: s, kind: registry.Deployment}
	s.route(r, namespace+"/deployments/with-cr", resource{kind: c.kind}, methods{http.MethodGet: c.listWithCR})
	s.route(r, namespace+"/deployments/with-cr/{name}", resource{kind: c.kind, name: "name"}, methods{http.MethodGet: c.getWithCR})
	d := defaults{collection{server: s, kind: registry.DeploymentDefaults}}
	s.route(r, namespace+"/deployment-defaults", resource{kind: registry.Deployment, name: "name"}, // the right to write Deployments
		methods{http.MethodGet: d.get, http.MethodPut: named(d.put), http.MethodPatch: d.patch})
	s.route(r, "/api/v1/status/resourceusage", resource{kind: registry.Namespace}, methods{http.MethodGet: s.resourceUsage})
	s.route(r, namespace+"/events", resource{kind: registry.Deployment}, methods{http.MethodGet: s.listEvents})
	for path, kind := range map[string]string{"savepoints": "Savepoint", "secret-values": "SecretValue"} {
		refuse := s.notImplemented(kind)
		s.route(r, namespace+"/"+path, resource{kind: registry.Deployment}, methods{http.MethodGet: s.listNone(kind), http.MethodPost: refuse})
		s.route(r, namespace+"/"+path+"/{name}", resource{kind: registry.Deployment, name: "name"},
			methods{http.MethodGet: s.getNone(kind), http.MethodPut: refuse, http.MethodPatch: refuse, http.MethodDelete: refuse})
	}
}

// defaults serves the DeploymentDefaults of a platform namespace, which always exist.
type defaults struct{ collection }

// named returns a handler with the name of the object, which the path lacks.
func named(handle func(*http.Request) (response, error)) func(*http.Request) (response, error) {
	return func(r *http.Request) (response, error) {
		vars := map[string]string{"namespace": mux.Vars(r)["namespace"], "name": registry.DefaultsName}
		return handle(mux.SetURLVars(r, vars))
	}
}

func (d defaults) get(r *http.Request) (response, error) {
	o, err := d.registry.GetDefaults(r.Context(), mux.Vars(r)["namespace"], registry.Cached)
	if err != nil {
		return response{}, err
	}
	return d.respond(http.StatusOK, o), nil
}

// patch stores empty DeploymentDefaults before the first patch.
func (d defaults) patch(r *http.Request) (response, error) {
	o, err := d.registry.GetDefaults(r.Context(), mux.Vars(r)["namespace"], registry.Consistent)
	if err == nil && o.Metadata.ResourceVersion == 0 {
		_, _, err = d.registry.Put(r.Context(), o, registry.Precondition{}, nil)
	}
	if err != nil {
		return response{}, err
	}
	return named(d.collection.patch)(r)
}

// withCR is a Deployment in the form of the paths with-cr, without the custom resource.
type withCR struct {
	Deployment document `json:"deployment"`
}

type withCRList struct {
	Kind       string       `json:"kind"`
	APIVersion string       `json:"apiVersion"`
	Metadata   listMetadata `json:"metadata"`
	Items      []withCR     `json:"items"` // never null
}

func (c collection) listWithCR(r *http.Request) (response, error) {
	resp, err := c.list(r)
	if err != nil {
		return response{}, err
	}
	list := resp.body.(documentList)
	items := make([]withCR, len(list.Items))
	for i, o := range list.Items {
		items[i].Deployment = o
	}
	resp.body = withCRList{Kind: "DeploymentWithCRList", APIVersion: apiVersion, Metadata: list.Metadata, Items: items}
	return resp, nil
}

func (c collection) getWithCR(r *http.Request) (response, error) {
	o, err := c.registry.Get(r.Context(), c.key(r), registry.Cached)
	if err != nil {
		return response{}, err
	}
	return response{status: http.StatusOK, body: withCR{c.toDocument(o)}}, nil
}

// listNone returns the handler of a list of objects that drey has none of.
func (s *server) listNone(kind string) func(*http.Request) (response, error) {
	return func(r *http.Request) (response, error) {
		if _, err := readQuery(r); err != nil {
			return response{}, err
		}
		if _, err := s.registry.GetNamespace(r.Context(), mux.Vars(r)["namespace"], registry.Cached); err != nil {
			return response{}, err
		}
		return response{status: http.StatusOK, body: documentList{Kind: kind + "List", APIVersion: apiVersion, Items: []document{}}}, nil
	}
}

func (s *server) getNone(kind string) func(*http.Request) (response, error) {
	return func(r *http.Request) (response, error) {
		vars := mux.Vars(r)
		if _, err := s.registry.GetNamespace(r.Context(), vars["namespace"], registry.Cached); err != nil {
			return response{}, err
		}
		return response{}, &problem{http.StatusNotFound, registry.ReasonNotFound, fmt.Sprintf(
			"there is no %s %q in platform namespace %q: drey stores none", kind, vars["name"], vars["namespace"])}
	}
}

// notImplemented returns the handler of writes that only Ververica Platform itself executes.
func (s *server) notImplemented(kind string) func(*http.Request) (response, error) {
	return func(*http.Request) (response, error) {
		return response{}, &problem{http.StatusNotImplemented, ReasonNotImplemented, fmt.Sprintf(
			"%s is not implemented: drey registers where Flink may run, and neither runs Flink nor stores secrets: use Flink's operator, or Kubernetes Secrets", kind)}
	}
}
