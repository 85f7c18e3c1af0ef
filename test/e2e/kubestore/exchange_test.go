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

// TestRESTExchanges plays the exchanges of registry/rest against a registry in the
// cluster, except those of API tokens, which it does not support.
func TestRESTExchanges(t *testing.T) {
	w := sharedWorld(t)
	w.empty(t)
	rules, err := registry.New(t.Context(), w.reporting(t, kubestore.Options{CreateNamespaces: true}), registry.Options{OwnNamespace: "drey-system", Namespaces: []string{"team-a"}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(rest.New(rest.Options{Registry: rules, Log: slog.New(slog.DiscardHandler)}))
	t.Cleanup(server.Close)
	play(t, &exchange.Player{URL: server.URL, IgnoreKeyOrder: true})
}

// play plays the exchanges of registry/rest, except those of API tokens.
func play(t *testing.T, p *exchange.Player) {
	t.Helper()
	for _, file := range exchange.Files(t, "../../../registry/rest/testdata") {
		if filepath.Base(file) == "apitokens.http" {
			continue
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".http"), func(t *testing.T) {
			p.Play(t, file)
		})
	}
}
