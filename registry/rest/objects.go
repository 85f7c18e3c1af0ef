package rest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/gorilla/mux"
	"k8s.io/apimachinery/pkg/labels"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/access"
)

// apiVersion is the apiVersion of all objects.
const apiVersion = "v1"

// collection serves the objects of one kind.
type collection struct {
	*server
	kind registry.Kind
}

// document is an object in a response.
type document struct {
	Kind       registry.Kind     `json:"kind"`
	APIVersion string            `json:"apiVersion"`
	Metadata   registry.Metadata `json:"metadata"`
	Spec       json.RawMessage   `json:"spec"`
	Status     *status           `json:"status,omitempty"` // nil for kinds without one
}

type documentList struct {
	Kind       string       `json:"kind"`
	APIVersion string       `json:"apiVersion"`
	Metadata   listMetadata `json:"metadata"`
	Items      []document   `json:"items"` // never null: clients iterate it
}

type listMetadata struct {
	Continue string `json:"continue,omitempty"` // of the next page
}

func (c collection) list(r *http.Request) (response, error) {
	query, err := readQuery(r)
	if err != nil {
		return response{}, err
	}
	text := query.Get("labelSelector")
	selector, err := labels.Parse(text)
	if err == nil && strings.ContainsRune(text, 0) {
		err = errors.New("it has a NUL") // where the parser ends, with what comes before it
	}
	if err != nil {
		return response{}, badRequest("labelSelector is not valid: %v: use the syntax of kubectl, for example team=nuts,stage in (dev,test)", err)
	}
	objects, err := c.registry.List(r.Context(), c.kind, mux.Vars(r)["namespace"], selector)
	if err != nil {
		return response{}, err
	}
	objects, next, err := page(objects, query)
	if err != nil {
		return response{}, err
	}
	list := c.toList(c.kind, objects)
	list.Metadata.Continue = next
	return response{status: http.StatusOK, body: list}, nil
}

func (s *server) toList(kind registry.Kind, objects []registry.Object) documentList {
	l := documentList{Kind: string(kind) + "List", APIVersion: apiVersion, Items: make([]document, len(objects))}
	for i, o := range objects {
		l.Items[i] = s.toDocument(o)
	}
	return l
}

func (c collection) get(r *http.Request) (response, error) {
	o, err := c.registry.Get(r.Context(), c.key(r), registry.Cached)
	if err != nil {
		return response{}, err
	}
	if tag := etag(o); !c.statusChanges() && matches(fieldValue(r, "If-None-Match"), tag) {
		return response{status: http.StatusNotModified, header: http.Header{"Etag": {tag}}}, nil
	}
	return c.respond(http.StatusOK, o), nil
}

func (c collection) post(r *http.Request) (response, error) {
	in, err := c.read(r)
	if err != nil {
		return response{}, err
	}
	o, err := c.registry.Create(r.Context(), in.object, c.filter.requester(r))
	if err != nil {
		return response{}, err
	}
	c.audit(r, access.Create, o, 0)
	return c.respond(http.StatusCreated, o, in.warnings...), nil
}

func (c collection) put(r *http.Request) (response, error) {
	in, err := c.read(r)
	if err != nil {
		return response{}, err
	}
	precondition, err := readPrecondition(r)
	if err != nil {
		return response{}, err
	}
	precondition.Version = in.version
	o, outcome, err := c.registry.Put(r.Context(), in.object, precondition, c.filter.requester(r))
	if err != nil {
		return response{}, err
	}
	switch outcome {
	case registry.Created:
		c.audit(r, access.Create, o, 0)
		return c.respond(http.StatusCreated, o, in.warnings...), nil
	case registry.Replaced:
		c.audit(r, access.Update, o, o.Metadata.ResourceVersion-1)
	}
	return c.respond(http.StatusOK, o, in.warnings...), nil
}

func (c collection) delete(r *http.Request) (response, error) {
	precondition, err := readDeletion(r)
	if err != nil {
		return response{}, err
	}
	o, err := c.registry.Delete(r.Context(), c.key(r), precondition)
	if err != nil {
		return response{}, err
	}
	c.audit(r, access.Delete, o, o.Metadata.ResourceVersion)
	return response{status: http.StatusOK, body: c.toDocument(o)}, nil
}

// patch applies an RFC 7386 merge patch to the present object, and retries on conflict. A
// resourceVersion in the patch is ignored, as by Ververica Platform.
func (c collection) patch(r *http.Request) (response, error) {
	change, err := c.readPatch(r)
	if err != nil {
		return response{}, err
	}
	precondition, err := readPrecondition(r)
	if err != nil {
		return response{}, err
	}
	const attempts = 20
	for range attempts {
		current, err := c.registry.Get(r.Context(), c.key(r), registry.Consistent)
		if err != nil {
			return response{}, err
		}
		in, err := c.merge(r.Context(), current, change)
		if err != nil {
			return response{}, err
		}
		if err := precondition.Check(current); err != nil {
			return response{}, err
		}
		stated := precondition
		stated.ID, stated.Version = current.Metadata.ID, current.Metadata.ResourceVersion
		o, outcome, err := c.registry.Put(r.Context(), in.object, stated, nil)
		if registry.ReasonOf(err) == registry.ReasonConflict {
			continue
		}
		if err != nil {
			return response{}, err
		}
		if outcome == registry.Replaced {
			c.audit(r, access.Patch, o, o.Metadata.ResourceVersion-1)
		}
		return c.respond(http.StatusOK, o, in.warnings...), nil
	}
	return response{}, &problem{http.StatusConflict, registry.ReasonConflict, fmt.Sprintf("cannot apply the patch: the object changed %d times meanwhile: try again", attempts)}
}

func (c collection) key(r *http.Request) registry.Key {
	vars := mux.Vars(r)
	return registry.Key{Kind: c.kind, Namespace: vars["namespace"], Name: vars["name"]}
}

// respond returns the response with an object, with warnings about it and the request.
func (c collection) respond(status int, o registry.Object, warnings ...string) response {
	header := http.Header{"Etag": {etag(o)}}
	addWarnings(header, append(warnings, c.registry.Warnings(o)...)...)
	return response{status: status, body: c.toDocument(o), header: header}
}

// toDocument returns an object for a response. A write with kubectl may have numbers in string fields.
func (s *server) toDocument(o registry.Object) document {
	if o.Kind == registry.Deployment || o.Kind == registry.SessionCluster {
		o.Spec, _ = stringFields.Member("spec").Quote(o.Spec)
	}
	return document{Kind: o.Kind, APIVersion: apiVersion, Metadata: o.Metadata, Spec: o.Spec, Status: s.statusOf(o)}
}

// etag identifies a version of an object, by its id.
func etag(o registry.Object) string {
	return fmt.Sprintf(`"%s.%d"`, o.Metadata.ID, o.Metadata.ResourceVersion)
}
