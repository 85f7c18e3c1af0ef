package rest_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestOpenAPIVersion: the description has the version of the program.
func TestOpenAPIVersion(t *testing.T) {
	server := newServer(t)
	for path, format := range map[string]string{"/openapi.json": "3.0.3", "/api/swagger.json": "2.0", "/swagger.json": "2.0"} {
		status, text := getText(t, server.URL+path)
		var document struct {
			OpenAPI, Swagger string
			Info             struct{ Version string }
			Paths            map[string]any
		}
		if err := json.Unmarshal([]byte(text), &document); err != nil || status != http.StatusOK {
			t.Fatalf("%s: %d, %v", path, status, err)
		}
		if document.Info.Version != "v1.2.3" || document.OpenAPI+document.Swagger != format || len(document.Paths) < 10 {
			t.Errorf("%s: %+v", path, document.Info)
		}
	}
	if _, text := getText(t, server.URL+"/api/v1/status/system-info"); !strings.Contains(text,
		`{"buildTime":"2026-03-01T00:00:00Z","buildVersion":"2.6.1","commitShaLong":"0123456789abcdef0123456789abcdef01234567","commitShaShort":"0123456","dreyVersion":"v1.2.3"}`) {
		t.Errorf("system-info: %s", text)
	}
}

// TestSwaggerUIOffline: the Swagger UI loads nothing from other hosts.
func TestSwaggerUIOffline(t *testing.T) {
	server := newServer(t)
	for _, path := range []string{"/swagger", "/swagger/"} {
		status, text := getText(t, server.URL+path) // follows no redirect
		if status != http.StatusOK || !strings.Contains(text, "swagger-ui-bundle.js") || !strings.Contains(text, "/openapi.json") {
			t.Errorf("%s: %d %s", path, status, text)
		}
		if strings.Contains(text, "src=\"http") || strings.Contains(text, "href=\"http") || strings.Contains(text, "//cdn") {
			t.Errorf("%s loads something from elsewhere: %s", path, text)
		}
	}
	for _, path := range []string{"/swagger/swagger-ui-bundle.js", "/swagger/swagger-ui.css"} {
		if status, text := getText(t, server.URL+path); status != http.StatusOK || len(text) < 10_000 {
			t.Errorf("%s: %d, %d bytes", path, status, len(text))
		}
	}
	if status, text := getText(t, server.URL+"/swaggerx"); status != http.StatusNotFound || !strings.Contains(text, `"reason":"NotFound"`) {
		t.Errorf("/swaggerx: %d %s", status, text)
	}
}

// TestOpenAPIReasons: the description lists every reason.
func TestOpenAPIReasons(t *testing.T) {
	var inSource []string
	for _, dir := range []string{".", ".."} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(parsed, func(n ast.Node) bool {
				spec, ok := n.(*ast.ValueSpec)
				if !ok || !strings.HasPrefix(spec.Names[0].Name, "Reason") || len(spec.Values) != 1 {
					return true
				}
				if literal, ok := spec.Values[0].(*ast.BasicLit); ok {
					value, _ := strconv.Unquote(literal.Value)
					inSource = append(inSource, value)
				}
				return true
			})
		}
	}
	_, text := getText(t, newServer(t).URL+"/openapi.json")
	var document struct {
		Components struct {
			Schemas struct {
				Error struct {
					Properties struct{ Reason struct{ Enum []string } }
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(text), &document); err != nil {
		t.Fatal(err)
	}
	slices.Sort(inSource)
	if inDocument := document.Components.Schemas.Error.Properties.Reason.Enum; !slices.Equal(inSource, inDocument) || len(inSource) < 15 {
		t.Errorf("in the source %d: %v\nin the document %d: %v", len(inSource), inSource, len(inDocument), inDocument)
	}
}

func getText(t *testing.T, url string) (int, string) {
	t.Helper()
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}
