package rest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"sigs.k8s.io/yaml"

	"drey.dev/drey/test/framework/exchange"
)

// description is the OpenAPI document of a server, and the statuses of each operation.
type description struct {
	document *openapi3.T
	router   routers.Router

	mu   sync.Mutex
	seen map[string]map[int]bool // statuses by operation
}

// describe fetches and validates the OpenAPI document.
func describe(t testing.TB, base string) *description {
	t.Helper()
	response, err := http.Get(base + "/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	document, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		t.Fatalf("openapi.json: %v", err)
	}
	if err := document.Validate(context.Background()); err != nil {
		t.Fatalf("openapi.json: %v", err)
	}
	router, err := gorillamux.NewRouter(document)
	if err != nil {
		t.Fatal(err)
	}
	openapi3.DefineStringFormatValidator("uuid", openapi3.NewRegexpFormatValidator(openapi3.FormatOfStringForUUIDOfRFC4122))
	return &description{document: document, router: router, seen: map[string]map[int]bool{}}
}

// decodeYAML decodes YAML as the JSON that it stands for. The decoder of openapi3filter returns
// integers beyond an int64 as uint64, which match no schema.
func decodeYAML(body io.Reader, _ http.Header, _ *openapi3.SchemaRef, _ openapi3filter.EncodingFn) (any, error) {
	text, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	var value any
	if err := yaml.Unmarshal(text, &value); err != nil { // by way of JSON
		return nil, &openapi3filter.ParseError{Kind: openapi3filter.KindInvalidFormat, Cause: err}
	}
	return value, nil
}

// versionAsText matches a version as clients of the Kubernetes API send it.
var versionAsText = regexp.MustCompile(`"resourceVersion":"([0-9]*)"`)

// canonical returns a body without forms that the server accepts and the document does not
// state: a byte order mark, and a version as text. A schema of two types would be in the code of
// generated clients.
func canonical(body []byte) []byte {
	body = bytes.TrimPrefix(body, []byte("\ufeff"))
	return versionAsText.ReplaceAllFunc(body, func(found []byte) []byte {
		digits := versionAsText.FindSubmatch(found)[1]
		return append([]byte(`"resourceVersion":`), cmp.Or(string(digits), "0")...)
	})
}

// validate returns an error if the document does not allow the response, or does not allow
// a request that succeeded.
func (d *description) validate(e exchange.Exchange) error {
	request := e.Request.Clone(context.Background())
	request.URL = &url.URL{Scheme: request.URL.Scheme, Host: request.URL.Host, Path: strings.TrimSuffix(request.URL.Path, "/"), RawPath: strings.TrimSuffix(request.URL.RawPath, "/"), RawQuery: request.URL.RawQuery}
	if request.Method == http.MethodHead {
		request.Method = http.MethodGet
	}
	route, variables, err := d.router.FindRoute(request)
	if err != nil {
		return d.validateUnknown(e)
	}
	input := &openapi3filter.RequestValidationInput{
		Request: request, PathParams: variables, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true},
	}
	if e.Response.StatusCode < 300 {
		request.Body, request.GetBody = io.NopCloser(bytes.NewReader(canonical(e.Sent))), nil
		if request.Header.Get("Content-Type") == "" && len(e.Sent) > 0 {
			request.Header.Set("Content-Type", "application/json") // the server's default
		}
		if mediaType := request.Header.Get("Content-Type"); strings.Contains(mediaType, "x-yaml") || strings.HasPrefix(mediaType, "text/yaml") {
			request.Header.Set("Content-Type", "application/yaml") // aliases
		}
		if err := openapi3filter.ValidateRequest(context.Background(), input); err != nil {
			return fmt.Errorf("a request that openapi.json does not allow succeeded: %w", err)
		}
	}
	d.record(route.Operation.OperationID, e.Response.StatusCode)
	if e.Request.Method == http.MethodHead || e.Response.StatusCode == http.StatusNotModified {
		if len(e.Received) > 0 {
			return fmt.Errorf("%s with status %d: got a body, want none", e.Request.Method, e.Response.StatusCode)
		}
		return nil
	}
	if strings.HasPrefix(e.Response.Header.Get("Content-Type"), "text/event-stream") {
		if content := route.Operation.Responses.Value("200").Value.Content; content.Get("text/event-stream") == nil {
			return errors.New("openapi.json does not allow a stream of events here")
		}
		return nil
	}
	err = openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: e.Response.StatusCode, Header: e.Response.Header, Body: io.NopCloser(bytes.NewReader(e.Received)),
		Options: input.Options,
	})
	if err != nil {
		return fmt.Errorf("openapi.json does not allow this response: %w", err)
	}
	return nil
}

// validateUnknown validates the response to a request without an operation.
func (d *description) validateUnknown(e exchange.Exchange) error {
	if e.Request.Method == http.MethodOptions && e.Response.StatusCode == http.StatusOK {
		return nil
	}
	if status := e.Response.StatusCode; !slices.Contains([]int{400, 401, 403, 404, 405, 429, 501}, status) {
		return fmt.Errorf("%s %s is not in openapi.json: got %d, want an error", e.Request.Method, e.Request.URL.Path, status)
	}
	if e.Request.Method == http.MethodHead {
		return nil
	}
	var body any
	if err := unmarshal(e.Received, &body); err != nil {
		return fmt.Errorf("got an error that is not JSON: %w", err)
	}
	if err := d.document.Components.Schemas["Error"].Value.VisitJSON(body, openapi3.MultiErrors()); err != nil {
		return fmt.Errorf("openapi.json does not allow this error: %w", err)
	}
	return nil
}

// record notes the status of an operation.
func (d *description) record(operation string, status int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.seen[operation] == nil {
		d.seen[operation] = map[int]bool{}
	}
	d.seen[operation][status] = true
}

// reportUnused fails the test for each operation without a successful exchange.
func (d *description) reportUnused(t *testing.T) {
	t.Helper()
	for path, item := range d.document.Paths.Map() {
		for method, operation := range item.Operations() {
			succeeded := false
			for status := range d.seen[operation.OperationID] {
				succeeded = succeeded || status < 300
			}
			// A job needs a cluster, and a stream of events does not end.
			if !succeeded && operation.OperationID != "getJob" && path != "/drey/v1/events" {
				t.Errorf("%s %s: got no successful exchange", method, path)
			}
		}
	}
}
