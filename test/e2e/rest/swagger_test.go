package rest

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"slices"
	"testing"

	"github.com/getkin/kin-openapi/openapi2"
	"github.com/getkin/kin-openapi/openapi2conv"
)

// TestSwagger converts the Swagger 2.0 document back to OpenAPI 3. It is valid, and describes the same
// operations, with the same parameters, bodies and responses, as openapi.json.
func TestSwagger(t *testing.T) {
	base, _ := target(t)
	want := describe(t, base).document
	for _, path := range []string{"/api/swagger.json", "/swagger.json"} {
		response, err := http.Get(base + path)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{`"nullable"`, `"anyOf"`, `"requestBody"`, "#/components"} {
			if bytes.Contains(text, []byte(word)) {
				t.Errorf("%s: got %s, which Swagger 2.0 does not have", path, word)
			}
		}
		var document openapi2.T
		if err := unmarshal(text, &document); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		got, err := openapi2conv.ToV3(&document)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if err := got.Validate(context.Background()); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if document.Swagger != "2.0" || got.Paths.Len() != want.Paths.Len() || len(got.Components.Schemas) != len(want.Components.Schemas) {
			t.Errorf("%s: got Swagger %q with %d paths and %d schemas, want 2.0 with %d and %d", path, document.Swagger,
				got.Paths.Len(), len(got.Components.Schemas), want.Paths.Len(), len(want.Components.Schemas))
		}
		for route, item := range want.Paths.Map() {
			for method, operation := range item.Operations() {
				other := got.Paths.Value(route).GetOperation(method)
				switch {
				case other == nil, other.OperationID != operation.OperationID:
					t.Errorf("%s: got no %s %s", path, method, route)
				case (other.RequestBody == nil) != (operation.RequestBody == nil), len(other.Parameters) != len(operation.Parameters):
					t.Errorf("%s: %s %s has another body or other parameters", path, method, route)
				}
				for status, described := range operation.Responses.Map() {
					if described.Value.Content.Get("text/event-stream") != nil && len(described.Value.Content) == 1 {
						continue // Swagger 2.0 has no stream
					}
					if r := other.Responses.Value(status); r == nil || r.Value == nil || (r.Value.Content == nil) != (described.Value.Content == nil) {
						t.Errorf("%s: %s %s: got another response %s", path, method, route, status)
					}
				}
			}
		}
		if !slices.Contains(document.Produces, "application/yaml") {
			t.Errorf("%s: produces %v", path, document.Produces)
		}
	}
}
