package rest_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/memstore"
	"drey.dev/drey/registry/rest"
)

// away is a store whose backend does not answer.
type away struct{ *memstore.Store }

func (away) List(context.Context, registry.Kind, string, registry.Consistency) ([]registry.Object, error) {
	return nil, &registry.Error{Reason: registry.ReasonClusterUnavailable, Message: "the API server is away: try again"}
}

// TestUnavailableRetryAfter: a 503 has the header Retry-After.
func TestUnavailableRetryAfter(t *testing.T) {
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

// stuck is a store whose backend never answers a target's write.
type stuck struct{ *memstore.Store }

func (s stuck) Create(ctx context.Context, o registry.Object) (registry.Object, error) {
	if o.Kind == registry.Namespace {
		return s.Store.Create(ctx, o)
	}
	<-ctx.Done()
	return registry.Object{}, ctx.Err()
}

// TestRequestTimeout: the timeout bounds the whole request, not each call of the store.
func TestRequestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := registry.New(t.Context(), stuck{memstore.New()}, registry.Options{Namespaces: []string{"team"}})
		if err != nil {
			t.Fatal(err)
		}
		const timeout = 5 * time.Second
		handler := rest.New(rest.Options{Registry: r, Log: slog.New(slog.DiscardHandler), Timeout: timeout})
		request := httptest.NewRequest(http.MethodPost, "http://127.0.0.1/api/v1/namespaces/team/deployment-targets", strings.NewReader(`{"metadata":{"name":"a"},"spec":{"kubernetes":{"namespace":"b"}}}`))
		request.Header.Set("Content-Type", "application/json")
		began, response := time.Now(), httptest.NewRecorder()
		handler.ServeHTTP(response, request)
		var said struct{ Reason, Message string }
		if err := json.Unmarshal(response.Body.Bytes(), &said); err != nil {
			t.Fatal(err)
		}
		if response.Code != http.StatusServiceUnavailable || response.Header().Get("Retry-After") == "" || said.Reason != "Unavailable" || !strings.Contains(said.Message, "GET the object") || time.Since(began) != timeout {
			t.Errorf("got %d after %s, Retry-After %q, %+v", response.Code, time.Since(began), response.Header().Get("Retry-After"), said)
		}
	})
}
