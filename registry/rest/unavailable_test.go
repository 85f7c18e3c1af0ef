package rest_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/memstore"
	"drey.dev/drey/registry/rest"
)

// away is a store whose backend does not answer.
type away struct{ *memstore.Store }

func (away) List(context.Context, registry.Kind, string) ([]registry.Object, error) {
	return nil, &registry.Error{Reason: registry.ReasonClusterUnavailable, Message: "the API server is away: try again"}
}

func TestWhoIsToldThatTheClusterIsAwayIsToldWhenToTryAgain(t *testing.T) {
	r, err := registry.New(t.Context(), away{memstore.New()}, registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(rest.New(rest.Options{Registry: r, Log: slog.New(slog.DiscardHandler)}))
	defer server.Close()
	response, err := http.Get(server.URL + "/api/v1/namespaces/default/deployment-targets")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") == "" {
		t.Errorf("got %s, Retry-After %q", response.Status, response.Header.Get("Retry-After"))
	}
}
