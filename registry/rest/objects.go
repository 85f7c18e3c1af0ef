package rest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/gorilla/mux"
	"k8s.io/apimachinery/pkg/labels"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/access"
)

// apiVersion is that of every object on the wire.
const apiVersion = "v1"

// collection serves the objects of one kind, whichever it is.
type collection struct {
	*server
	kind registry.Kind
}

// document is an object on the wire.
type document struct {
	Kind       registry.Kind     `json:"kind"`
	APIVersion string            `json:"apiVersion"`
	Metadata   registry.Metadata `json:"metadata"`
	Spec       json.RawMessage   `json:"spec"`
}

type documentList struct {
	Kind       string `json:"kind"`
	APIVersion string `json:"apiVersion"`
	Metadata   struct {
		Continue string `json:"continue,omitempty"`
	} `json:"metadata"`
	Items []document `json:"items"` // never null: clients iterate it unseen
}

func (c collection) list(r *http.Request) (answer, error) {
	query, err := readQuery(r)
	if err != nil {
		return answer{}, err
	}
	selector, err := labels.Parse(query.Get("labelSelector"))
	if err != nil {
		return answer{}, badRequest("labelSelector is not readable: %v. Write it as for kubectl, such as team=nuts,stage in (dev,test)", err)
	}
	objects, err := c.registry.List(r.Context(), c.kind, mux.Vars(r)["namespace"], selector)
	if err != nil {
		return answer{}, err
	}
	objects, next, err := page(objects, query)
	if err != nil {
		return answer{}, err
	}
	list := toList(c.kind, objects)
	list.Metadata.Continue = next
	return answer{status: http.StatusOK, body: list}, nil
}

func toList(kind registry.Kind, objects []registry.Object) documentList {
	l := documentList{Kind: string(kind) + "List", APIVersion: apiVersion, Items: make([]document, len(objects))}
	for i, o := range objects {
		l.Items[i] = toDocument(o)
	}
	return l
}

func (c collection) get(r *http.Request) (answer, error) {
	o, err := c.registry.Get(r.Context(), c.key(r), registry.Cached)
	if err != nil {
		return answer{}, err
	}
	if tag := etag(o); matches(r.Header.Get("If-None-Match"), tag) {
		return answer{status: http.StatusNotModified, header: http.Header{"Etag": {tag}}}, nil
	}
	return c.answer(http.StatusOK, o), nil
}

func (c collection) post(r *http.Request) (answer, error) {
	o, _, err := c.read(r)
	if err != nil {
		return answer{}, err
	}
	o, err = c.registry.Create(r.Context(), o, c.door.requester(r))
	if err != nil {
		return answer{}, err
	}
	c.audit(r, access.Create, o, 0)
	return c.answer(http.StatusCreated, o), nil
}

func (c collection) put(r *http.Request) (answer, error) {
	o, version, err := c.read(r)
	if err != nil {
		return answer{}, err
	}
	precondition, err := readPrecondition(r, version)
	if err != nil {
		return answer{}, err
	}
	o, outcome, err := c.registry.Put(r.Context(), o, precondition, c.door.requester(r))
	if err != nil {
		return answer{}, err
	}
	switch outcome {
	case registry.Created:
		c.audit(r, access.Create, o, 0)
		return c.answer(http.StatusCreated, o), nil
	case registry.Replaced:
		c.audit(r, access.Update, o, o.Metadata.ResourceVersion-1)
	}
	return c.answer(http.StatusOK, o), nil
}

func (c collection) delete(r *http.Request) (answer, error) {
	precondition, err := readPrecondition(r, 0)
	if err != nil {
		return answer{}, err
	}
	o, err := c.registry.Delete(r.Context(), c.key(r), precondition)
	if err != nil {
		return answer{}, err
	}
	c.audit(r, access.Delete, o, o.Metadata.ResourceVersion)
	return answer{status: http.StatusOK, body: toDocument(o)}, nil
}

// patch is an RFC 7386 merge patch. It is applied to what is there, and put in
// its place; when something else was put there meanwhile, again.
func (c collection) patch(r *http.Request) (answer, error) {
	change, err := c.readPatch(r)
	if err != nil {
		return answer{}, err
	}
	stated, err := readPrecondition(r, 0)
	if err != nil {
		return answer{}, err
	}
	const attempts = 20
	for range attempts {
		current, err := c.registry.Get(r.Context(), c.key(r), registry.Consistent)
		if err != nil {
			return answer{}, err
		}
		o, version, err := c.merge(r.Context(), current, change)
		if err != nil {
			return answer{}, err
		}
		believed := registry.Precondition{ID: current.Metadata.ID, Version: current.Metadata.ResourceVersion}
		mine := stated.ID != "" || version != 0 && version != believed.Version // 0 and If-Match: * state no version
		if mine {                                                              // the client's belief, which is not to be mended
			believed = stated
			if believed.Version == 0 {
				believed.Version = version
			}
		}
		o, outcome, err := c.registry.Put(r.Context(), o, believed, nil)
		if registry.ReasonOf(err) == registry.ReasonConflict && !mine {
			continue
		}
		if err != nil {
			return answer{}, err
		}
		if outcome == registry.Replaced {
			c.audit(r, access.Patch, o, o.Metadata.ResourceVersion-1)
		}
		return c.answer(http.StatusOK, o), nil
	}
	return answer{}, &problem{http.StatusConflict, registry.ReasonConflict, "the object changed again and again while this patch was applied: try again"}
}

func (c collection) key(r *http.Request) registry.Key {
	vars := mux.Vars(r)
	return registry.Key{Kind: c.kind, Namespace: vars["namespace"], Name: vars["name"]}
}

// answer is how one kept object goes out.
func (c collection) answer(status int, o registry.Object) answer {
	header := http.Header{"Etag": {etag(o)}}
	for _, w := range c.registry.Warnings(o) {
		header.Add("Warning", fmt.Sprintf("299 drey %q", w))
	}
	return answer{status: status, body: toDocument(o), header: header}
}

func toDocument(o registry.Object) document {
	return document{Kind: o.Kind, APIVersion: apiVersion, Metadata: o.Metadata, Spec: o.Spec}
}

// etag names one version of one object; an object made anew under the same
// name has another.
func etag(o registry.Object) string {
	return fmt.Sprintf(`"%s.%d"`, o.Metadata.ID, o.Metadata.ResourceVersion)
}

// matches reports whether an If-None-Match header lists the tag.
func matches(header, tag string) bool {
	for part := range strings.SplitSeq(header, ",") {
		part = strings.TrimPrefix(strings.TrimSpace(part), "W/")
		if part == tag || part == "*" {
			return true
		}
	}
	return false
}

// readPrecondition joins If-Match, If-None-Match and the version that the body
// states, 0 for none.
func readPrecondition(r *http.Request, version int32) (registry.Precondition, error) {
	p := registry.Precondition{Version: version}
	if none := strings.TrimSpace(r.Header.Get("If-None-Match")); none != "" {
		if none != "*" || r.Method != http.MethodPut || version != 0 || r.Header.Get("If-Match") != "" {
			return p, badRequest("the If-None-Match header is %q: beside GET, it goes with a PUT that states no version, as *, which is to make what is not there", none)
		}
		p.Absent = true
		return p, nil
	}
	header := strings.TrimSpace(r.Header.Get("If-Match"))
	switch header {
	case "":
		return p, nil
	case "*":
		p.Exists = true
		return p, nil
	}
	// A proxy that compresses makes our tags weak. They still name one version.
	id, number, ok := strings.Cut(strings.Trim(strings.TrimPrefix(header, "W/"), `"`), ".")
	n, err := strconv.ParseInt(number, 10, 32)
	if !ok || err != nil || n < 1 || id == "" || strings.ContainsAny(id, `", `) {
		return p, badRequest("the If-Match header is %q: send back the ETag that a GET of this object answered, or leave it out", header)
	}
	if version != 0 && version != int32(n) {
		return p, badRequest("If-Match states resourceVersion %d and the body %d: leave one of them out", n, version)
	}
	p.ID, p.Version = id, int32(n)
	return p, nil
}
