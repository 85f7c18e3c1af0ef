package rest_test

import (
	"flag"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/memstore"
	"drey.dev/drey/registry/rest"
	"drey.dev/drey/test/framework/exchange"
)

var update = flag.Bool("update", false, "rewrite the answers in testdata/*.http with what the server says")

// TestExchanges plays each testdata/*.http against a server of its own.
func TestExchanges(t *testing.T) {
	files, err := filepath.Glob("testdata/*.http")
	if err != nil || len(files) == 0 {
		t.Fatalf("no exchanges found: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".http"), func(t *testing.T) {
			(&exchange.Player{URL: newServer(t).URL, Update: *update}).Play(t, file)
		})
	}
}

// TestQuotaExchange plays testdata/quota against a server whose quota is 4 KiB.
func TestQuotaExchange(t *testing.T) {
	server := newServerWith(t, registry.Options{OwnNamespace: "drey-system", Namespaces: []string{"team-a"}, Quota: 4 << 10})
	(&exchange.Player{URL: server.URL, Update: *update}).Play(t, "testdata/quota/quota.http")
}

func newServer(t testing.TB) *httptest.Server {
	t.Helper()
	return newServerWith(t, registry.Options{OwnNamespace: "drey-system", Namespaces: []string{"team-a"}})
}

func newServerWith(t testing.TB, o registry.Options) *httptest.Server {
	t.Helper()
	r, err := registry.New(t.Context(), memstore.New(), o)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(rest.New(rest.Options{
		Registry: r, Log: slog.New(slog.DiscardHandler),
		Build: rest.Build{Version: "v1.2.3", Time: "2026-03-01T00:00:00Z", Commit: "0123456789abcdef0123456789abcdef01234567"},
	}))
	t.Cleanup(server.Close)
	return server
}
