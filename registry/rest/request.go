package rest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"
	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/gorilla/mux"

	"drey.dev/drey/inflight"
	"drey.dev/drey/registry"
	"drey.dev/drey/registry/rest/yamljson"
)

// maxBody is the maximum size of a request body, in bytes.
const maxBody = 1 << 20

// request is an object in the body of a request. Every field is optional; status, times and id are
// ignored.
type request struct {
	Kind       string `json:"kind"`
	APIVersion string `json:"apiVersion"`
	Metadata   struct {
		Name            string            `json:"name"`
		DisplayName     string            `json:"displayName"`
		Namespace       string            `json:"namespace"`
		Labels          map[string]string `json:"labels"`
		Annotations     map[string]string `json:"annotations"`
		ResourceVersion version           `json:"resourceVersion"`
	} `json:"metadata"`
	Spec jsontext.Value `json:"spec"`
}

// version is a resourceVersion: an integer, also as text, as clients of the Kubernetes API send
// it. Ververica Platform accepts both.
type version int32

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (v *version) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if d.PeekKind() != '"' {
		return jsonv2.UnmarshalDecode(d, (*int32)(v))
	}
	text, err := d.ReadToken()
	if err != nil || text.String() == "" {
		return err
	}
	n, err := strconv.ParseInt(text.String(), 10, 32)
	if err != nil {
		return &jsonv2.SemanticError{JSONKind: '"', GoType: reflect.TypeFor[version]()}
	}
	*v = version(n)
	return nil
}

// input is an object that a client sent, with the address of the path.
type input struct {
	object   registry.Object
	version  int32    // resourceVersion in the body; 0: none
	warnings []string // for the response
}

// read returns the object in the body of a POST or PUT.
func (c collection) read(r *http.Request) (input, error) {
	text, err := readBody(r)
	if err != nil {
		return input{}, err
	}
	var doc request
	if err := text.decode(&doc); err != nil {
		return input{}, err
	}
	return c.address(r.Context(), doc, mux.Vars(r))
}

// readPatch returns the merge patch in the body.
func (c collection) readPatch(r *http.Request) (body, error) {
	patch, err := readBody(r)
	if err != nil {
		return body{}, err
	}
	var members map[string]jsontext.Value
	return patch, patch.decode(&members)
}

// merge applies a merge patch to an object, and reads the result as a PUT.
func (c collection) merge(ctx context.Context, current registry.Object, patch body) (input, error) {
	whole, err := encode(c.toDocument(current))
	if err != nil {
		return input{}, err
	}
	merged, err := jsonpatch.MergePatch(whole, patch.json)
	if err != nil {
		return input{}, badRequest("cannot apply the patch: %v", err)
	}
	var doc request
	if err := (body{json: merged, isYAML: patch.isYAML, isMerged: true, sent: patch.sent}).decode(&doc); err != nil {
		return input{}, err
	}
	return c.address(ctx, doc, map[string]string{"namespace": current.Metadata.Namespace, "name": current.Metadata.Name})
}

// address returns the object of a request with the address of the path. A different name in the
// body is refused. A different namespace is ignored with a warning, as by Ververica Platform.
func (c collection) address(ctx context.Context, doc request, path map[string]string) (input, error) {
	var warnings []string
	if doc.Kind != "" && doc.Kind != string(c.kind) {
		return input{}, badRequest("kind is %q, but the path is for %s: correct or omit it", doc.Kind, c.kind)
	}
	if doc.APIVersion != "" && doc.APIVersion != apiVersion {
		return input{}, badRequest("apiVersion is %q, but the API has %q: correct or omit it", doc.APIVersion, apiVersion)
	}
	if ns := doc.Metadata.Namespace; ns != "" && ns != path["namespace"] {
		warnings = append(warnings, fmt.Sprintf("metadata.namespace is %s, but the path has %q, which counts: correct or omit it", excerpt(ns), path["namespace"]))
	}
	name, named := path["name"]
	if named && doc.Metadata.Name != "" {
		same, err := c.registry.SameName(ctx, c.kind, path["namespace"], doc.Metadata.Name, name)
		if err != nil {
			return input{}, err
		}
		if !same {
			return input{}, badRequest("metadata.name is %q, but the path has %q: correct or omit it", doc.Metadata.Name, name)
		}
	}
	if !named {
		name = doc.Metadata.Name
	}
	o := registry.Object{
		Kind: c.kind,
		Metadata: registry.Metadata{
			Name: name, DisplayName: doc.Metadata.DisplayName, Namespace: path["namespace"],
			Labels: doc.Metadata.Labels, Annotations: doc.Metadata.Annotations,
		},
		Spec: []byte(doc.Spec),
	}
	return input{o, int32(doc.Metadata.ResourceVersion), warnings}, nil
}

// body is the body of a request, as JSON with strings in [stringFields].
type body struct {
	json     []byte
	isYAML   bool // before conversion
	isMerged bool // into the present object

	sent   []byte
	quotes []int64 // offsets in json of quotes that are not in sent
}

const (
	budgetTimeout = 2 * time.Second

	// yamlFactor is the memory of a parsed YAML document relative to its text.
	yamlFactor = 16
)

// newBodyBudget returns the memory for bodies of requests in flight.
func newBodyBudget() *inflight.Budget {
	return inflight.New(inflight.Options{
		Large:    inflight.Size{Bodies: 32 << 20, Decoded: yamlFactor * maxBody},
		Reserved: inflight.Size{Bodies: 8 << 20, Decoded: 4 << 20},
		Timeout:  budgetTimeout,
	})
}

// receive reads the body of a request within the memory limits. The caller releases the
// reservation, also after an error.
func (f filter) receive(r *http.Request, shares []inflight.Share) ([]byte, *inflight.Reservation, error) {
	held := f.bodies.Begin(shares...)
	text, err := held.Read(r.Context(), r.Body, r.ContentLength, maxBody, nil)
	if err == nil {
		if isYAML, _ := readsAsYAML(r.Method, r.Header.Get("Content-Type")); isYAML { // readBody returns the error
			err = held.Grow(r.Context(), int64(len(text))*yamlFactor)
		}
	}
	switch {
	case errors.Is(err, inflight.ErrTooLarge):
		return nil, held, &problem{http.StatusRequestEntityTooLarge, ReasonTooLarge,
			fmt.Sprintf("the body exceeds the limit of %d bytes: send a smaller one", maxBody)}
	case errors.Is(err, inflight.ErrBusy):
		return nil, held, &problem{http.StatusServiceUnavailable, ReasonUnavailable,
			"too many large requests are in flight, of this caller or of all: try again in a second"}
	case err != nil:
		return nil, held, badRequest("cannot read the body: %v", err)
	}
	return text, held, nil
}

// readBody returns the body of a request. The Content-Type selects JSON or YAML; the default is
// JSON.
func readBody(r *http.Request) (body, error) {
	if coding := r.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return body{}, &problem{http.StatusUnsupportedMediaType, ReasonUnsupportedMediaType,
			fmt.Sprintf("the Content-Encoding %q is not supported: send the body without one", coding)}
	}
	isYAML, err := readsAsYAML(r.Method, r.Header.Get("Content-Type"))
	if err != nil {
		return body{}, err
	}
	text := bytes.TrimPrefix(infoOf(r).body, []byte("\ufeff")) // a byte order mark
	if len(bytes.TrimSpace(text)) == 0 {
		return body{}, badRequest("the body is empty: send the object as JSON or YAML")
	}
	if isYAML {
		converted, err := yamljson.ToJSON(text, stringFields)
		if err != nil {
			return body{}, badRequest("the body is not valid YAML: %v", err)
		}
		return body{json: converted, isYAML: true, sent: text}, nil
	}
	quoted, quotes := stringFields.Quote(text)
	return body{json: quoted, sent: text, quotes: quotes}, nil
}

func (b body) decode(v any) error {
	if string(bytes.TrimSpace(b.json)) == "null" {
		return badRequest("the body is null: send an object")
	}
	if err := jsonv2.Unmarshal(b.json, v); err != nil {
		return badRequest("%s", b.describe(err))
	}
	return nil
}

func readsAsYAML(method, contentType string) (bool, error) {
	if contentType == "" {
		return false, nil
	}
	mediaType, _, err := mime.ParseMediaType(contentType)
	if err == nil {
		switch mediaType {
		case "application/json":
			return false, nil
		case "application/merge-patch+json":
			if method == http.MethodPatch {
				return false, nil
			}
			return false, &problem{http.StatusUnsupportedMediaType, ReasonUnsupportedMediaType,
				fmt.Sprintf("%s does not accept a merge patch: use PATCH, or send the whole object as application/json", method)}
		case "application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml":
			return true, nil
		}
	}
	supported := "application/json or application/yaml (curl: -H 'Content-Type: application/json')"
	if method == http.MethodPatch {
		supported = "a merge patch as application/merge-patch+json, application/json or application/yaml"
	}
	return false, &problem{http.StatusUnsupportedMediaType, ReasonUnsupportedMediaType,
		fmt.Sprintf("the Content-Type %q is not supported: send %s", contentType, supported)}
}

// describe formats a decoding error with the path, and the line and column in what the client sent.
func (b body) describe(err error) string {
	var offset int64
	var pointer jsontext.Pointer
	what := err.Error()
	syntactic, isSyntactic := errors.AsType[*jsontext.SyntacticError](err)
	semantic, isSemantic := errors.AsType[*jsonv2.SemanticError](err)
	switch {
	case isSyntactic:
		offset, pointer, what = syntactic.ByteOffset, syntactic.JSONPointer, syntactic.Err.Error()
		if errors.Is(err, jsontext.ErrDuplicateName) {
			what = "duplicate key"
		}
	case isSemantic:
		offset, pointer = semantic.ByteOffset, semantic.JSONPointer
		what = fmt.Sprintf("found %s, want %s", jsonKindName(semantic.JSONKind), wanted(semantic))
	}
	path := strings.TrimPrefix(strings.ReplaceAll(string(pointer), "/", "."), ".")
	var line, column int
	format := "JSON"
	switch {
	case b.isYAML:
		format = "YAML"
		fallthrough
	case b.isMerged: // JSON is YAML too
		line, column = yamljson.Position(b.sent, string(pointer))
	default:
		line, column = lineAndColumn(b.sent, yamljson.Unquoted(offset, b.quotes))
	}
	const maxPath = 200 // bytes of a path that is shown
	if len(path) > maxPath {
		path = strings.ToValidUTF8(path[:maxPath], "") + "..."
	}
	if path != "" {
		path = ", at " + path
	}
	if line == 0 {
		return fmt.Sprintf("the body is not valid %s%s: %s", format, path, what)
	}
	return fmt.Sprintf("the body is not valid %s at line %d, column %d%s: %s", format, line, column, path, what)
}

func lineAndColumn(text []byte, offset int64) (line, column int) {
	before := text[:min(max(offset, 0), int64(len(text)))]
	return 1 + bytes.Count(before, []byte("\n")), len(before) - bytes.LastIndexByte(before, '\n')
}

func jsonKindName(k jsontext.Kind) string {
	switch k {
	case 'n':
		return "null"
	case 't', 'f':
		return "a boolean"
	case '"':
		return "a string"
	case '0':
		return "a number"
	case '{', '}':
		return "an object"
	case '[', ']':
		return "an array"
	}
	return "something else"
}

func wanted(e *jsonv2.SemanticError) string {
	if e.GoType == nil {
		return "something else"
	}
	switch e.GoType.Kind().String() {
	case "string":
		return "a string"
	case "slice":
		return "an array"
	case "int32":
		return "a 32-bit integer"
	default:
		return "an object"
	}
}
