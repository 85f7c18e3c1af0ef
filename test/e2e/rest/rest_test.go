// Package rest plays the conformance suite of the REST API over HTTP, against a drey that
// it builds and starts, or against the server at DREY_URL with the bearer token
// DREY_TOKEN. It validates each response against the server's own OpenAPI document.
//
// It is a separate module because of the OpenAPI validator's dependencies.
package rest

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3filter"

	"drey.dev/drey/test/framework/drey"
	"drey.dev/drey/test/framework/exchange"
)

// exchanges is the directory of the exchanges, which registry/rest's own tests play too.
const exchanges = "../../../registry/rest/testdata"

var server struct {
	sync.Once
	url, token string
	err        error
	running    *drey.Drey
	dir        string
}

func TestMain(m *testing.M) {
	openapi3filter.RegisterBodyDecoder("application/yaml", decodeYAML)
	code := m.Run()
	if server.running != nil {
		if err := server.running.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = cmp.Or(code, 1)
		}
		_ = os.RemoveAll(server.dir) // a leftover temporary directory does no harm
	}
	os.Exit(code)
}

// target returns the URL and the token of the server under test.
func target(t testing.TB) (url, token string) {
	t.Helper()
	server.Do(func() {
		server.url, server.token = os.Getenv("DREY_URL"), os.Getenv("DREY_TOKEN")
		if server.url != "" {
			return
		}
		if server.dir, server.err = os.MkdirTemp("", "drey-rest-"); server.err != nil {
			return
		}
		var program string
		if program, server.err = drey.BuildIn(context.Background(), "../../..", server.dir); server.err != nil {
			return
		}
		if server.running, server.err = drey.Start(context.Background(), drey.Options{Program: program, DataDir: server.dir}); server.err == nil {
			server.url = server.running.REST
		}
	})
	if server.err != nil {
		t.Fatal(server.err)
	}
	return server.url, server.token
}

// TestExchanges plays the exchanges, which together cover every operation.
func TestExchanges(t *testing.T) {
	url, token := target(t)
	description := describe(t, url)
	seen := 0
	for _, file := range exchange.Files(t, exchanges) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".http"), func(t *testing.T) {
			(&exchange.Player{URL: url, Token: token, Check: func(e exchange.Exchange) error {
				seen++
				return description.validate(e)
			}}).Play(t, file)
		})
	}
	t.Logf("%d exchanges with %s", seen, url)
	description.reportUnused(t)
}
