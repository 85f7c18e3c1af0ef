package kubestore_test

import (
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/kubestore"
	"drey.dev/drey/registry/rest"
	"drey.dev/drey/test/framework/exchange"
)

// TestRESTExchanges plays the exchanges of registry/rest against
// a registry that the cluster keeps: all but those of API tokens, of which it has
// none.
func TestRESTExchanges(t *testing.T) {
	w := inWorld(t)
	w.empty(t)
	rules, err := registry.New(t.Context(), w.reporting(t, kubestore.Options{CreateNamespaces: true}), registry.Options{Home: "drey-system", Namespaces: []string{"team-a"}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(rest.New(rest.Options{Registry: rules, Log: slog.New(slog.DiscardHandler)}))
	t.Cleanup(server.Close)
	play(t, &exchange.Player{URL: server.URL, IgnoreKeyOrder: true})
}

// play plays the exchanges of registry/rest.
func play(t *testing.T, p *exchange.Player) {
	t.Helper()
	files, err := filepath.Glob("../../../registry/rest/testdata/*.http")
	if err != nil || len(files) == 0 {
		t.Fatalf("no exchanges found: %v", err)
	}
	for _, file := range files {
		if filepath.Base(file) == "apitokens.http" {
			continue
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".http"), func(t *testing.T) {
			p.Play(t, file)
		})
	}
}
