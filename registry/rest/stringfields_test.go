package rest_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/memstore"
	"drey.dev/drey/registry/rest"
)

// TestStringFieldsOfStoredObjects: string fields are strings in responses, also of objects that were not
// written over REST.
func TestStringFieldsOfStoredObjects(t *testing.T) {
	rules, err := registry.New(t.Context(), memstore.New(), registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(rest.New(rest.Options{Registry: rules, Log: slog.New(slog.DiscardHandler)}))
	t.Cleanup(server.Close)
	o := registry.Object{
		Kind: registry.Deployment, Metadata: registry.Metadata{Namespace: "default", Name: "a"},
		Spec: []byte(`{"template":{"spec":{"artifact":{"flinkVersion":1.20},"parallelism":2}}}`),
	}
	if _, err := rules.Create(t.Context(), o, nil); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/deployments", "/deployments/a"} {
		status, text := getText(t, server.URL+"/api/v1/namespaces/default"+path)
		if want := `"spec":{"template":{"spec":{"artifact":{"flinkVersion":"1.20"},"parallelism":2}}}`; status != http.StatusOK || !strings.Contains(text, want) {
			t.Errorf("%s: got %d %s, want %s", path, status, text, want)
		}
	}
}
